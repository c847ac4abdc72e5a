"""The numbers that every epsilon is printed with: planned and spent, against whom, delta and unit.

Views of one institution's messages, over every attempt that the plan allows (``docs/noise-shares.md``):

outsiders
    see the released model and sums. The number may be smaller only where single vectors are masked and each message is
    one noised sum.
the coordinator with t institutions
    is the calibrated one.
one other member, half of the others, all others
    pool what they know with the coordinator. What bounds the last one bounds them all.

Under local noise the coordinator already holds each institution's own noised vector, or may come to hold it, so all
but the first are equal. Central noise, in simulations, protects against outsiders alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.accounting import Accountant, Mechanism
from fedcredit.privacy.shares import least_noise
from fedcredit.roster import FEWEST_MEMBERS
from fedcredit.wire.messages import Role


@dataclass(frozen=True, slots=True)
class PrivacyStatement:
    """One institution's privacy in one job; None where nothing is bounded (no noise), or nothing better is known.

    Attributes
    ----------
    epsilon_outsider, epsilon_t, epsilon_all_others
        The three numbers: outsiders; the coordinator with the plan's colluders; the coordinator with all others.
    epsilon_one_colludes, epsilon_half_collude
        The coordinator with one other member; with half (rounded up) of the others of every attempt.
    epsilon_planned, epsilon_spent
        What the ledger reserved and charged for the job.
    """

    epsilon_outsider: float | None
    epsilon_t: float | None
    epsilon_all_others: float | None
    epsilon_one_colludes: float | None
    epsilon_half_collude: float | None
    epsilon_planned: float | None
    epsilon_spent: float | None
    delta: float | None
    unit: str

    def to_json(self) -> dict[str, Any]:
        """JSON values, same names."""
        return asdict(self)


def mechanism(plan: Plan, kind: str, role: Role) -> Mechanism:
    """The release of an institution of `kind` in one message of `role`, as the ledger charges it.

    Under distributed noise that is the sum's: the honest members' shares together are the plan's noise or more.

    Raises
    ------
    ConfigError
        If the plan states no sensitivity for that type.
    """
    terms = plan.phases.of(role)
    if kind not in terms.sensitivity_squared or kind not in terms.noise_variance:
        raise ConfigError(f"the plan states no sensitivity or noise for type {kind!r}; its dictionary is another one.")
    return Mechanism(
        terms.sensitivity_squared[kind], terms.noise_variance[kind], terms.sampling_rate, terms.local_steps
    )


def planned_cost(plan: Plan, kind: str, accountant: Accountant, noise: Fraction = Fraction(1)) -> Fraction:
    """Cost of every planned message of an institution plus the retry reserve: what joining reserves.

    Parameters
    ----------
    noise
        Noise that the observer faces, in parts of the plan's variance; 1 is what is charged. The reserve buys retries
        at the charged cost; which phase they are of is the coordinator's choice, so the dearest for this observer
        counts.
    """
    charged = {role: accountant.cost(mechanism(plan, kind, role)) for role in Role}
    reserve = sum((charged[role] * plan.phases.of(role).rounds for role in Role), Fraction(0)) * (
        plan.reserve_factor - 1
    )
    faced = {role: accountant.cost(_faced(mechanism(plan, kind, role), noise)) for role in Role}
    messages = sum((faced[role] * plan.phases.of(role).rounds for role in Role), Fraction(0))
    dearest = max((faced[role] / charged[role] for role in Role if charged[role]), default=Fraction(0))
    return messages + reserve * dearest


def _faced(charged: Mechanism, noise: Fraction) -> Mechanism:
    return replace(charged, noise_variance=int(charged.noise_variance * noise))


def statement(plan: Plan, kind: str, accountant: Accountant, planned: Fraction, spent: Fraction) -> PrivacyStatement:
    """Turn costs into the printed numbers.

    Parameters
    ----------
    kind
        Type of the institution that the numbers are for.
    accountant
        The unit of `planned` and `spent`.
    planned, spent
        Reserved and charged cost of the job.

    Raises
    ------
    PrivacyError
        If noise is distributed among too few members.
    """
    if plan.privacy.placement is Placement.NONE or plan.privacy.delta is None:
        return PrivacyStatement(None, None, None, None, None, None, None, None, plan.privacy.unit.value)
    delta = plan.privacy.delta

    def against(noise: Fraction | None) -> float | None:
        if noise is None:
            return None
        return accountant.epsilon(planned if noise == 1 else planned_cost(plan, kind, accountant, noise), delta)

    noise = _noise_faced(plan, kind)
    return PrivacyStatement(
        epsilon_outsider=against(noise.outsider),
        epsilon_t=against(noise.colluders),
        epsilon_all_others=against(noise.all_others),
        epsilon_one_colludes=against(noise.one),
        epsilon_half_collude=against(noise.half),
        epsilon_planned=accountant.epsilon(planned, delta),
        epsilon_spent=accountant.epsilon(spent, delta),
        delta=delta,
        unit=plan.privacy.unit.value,
    )


def epsilons_spent(
    plan: Plan, kind: str, accountant: Accountant, sent: Mapping[Role, int]
) -> tuple[float | None, float | None, float | None]:
    """What the messages sent so far cost, against outsiders, the coordinator with t institutions, and all others.

    Parameters
    ----------
    sent
        Number of messages of each phase, every attempt counted.
    """
    terms = plan.privacy
    if terms.placement is Placement.NONE or terms.delta is None:
        return None, None, None
    delta = terms.delta

    def against(noise: Fraction | None) -> float | None:
        if noise is None:
            return None
        costs = (accountant.cost(_faced(mechanism(plan, kind, role), noise)) * n for role, n in sent.items())
        total = sum(costs, Fraction(0))
        return accountant.epsilon(total, delta) if total else 0.0

    noise = _noise_faced(plan, kind)
    return against(noise.outsider), against(noise.colluders), against(noise.all_others)


@dataclass(frozen=True, slots=True)
class _NoiseFaced:
    """Noise that each observer faces, in parts of the plan's variance; None where no number is stated."""

    outsider: Fraction | None
    colluders: Fraction | None
    all_others: Fraction | None
    one: Fraction | None
    half: Fraction | None


def _noise_faced(plan: Plan, kind: str) -> _NoiseFaced:
    terms = plan.privacy
    least = partial(least_noise, len(plan.members), terms.max_drops, terms.colluders)
    match terms.placement:
        case Placement.DISTRIBUTED if terms.masks:
            return _NoiseFaced(
                outsider=least(lambda _: 0),
                colluders=Fraction(1),
                all_others=least(lambda size: size - 1),
                one=least(lambda _: 1),
                half=least(lambda size: size // 2),
            )
        case Placement.DISTRIBUTED:  # the coordinator sees each vector, with its own share on it
            own = least(lambda size: size - 1)
            return _NoiseFaced(None, own, own, own, own)
        case Placement.LOCAL:
            # A step of one's own acts on one's own noise alone: what others add to the sum comes after it.
            sums = terms.masks and plan.phases.train.local_steps == 1
            outsider = Fraction(_fewest_of_kind(plan, kind)) if sums else None
            return _NoiseFaced(outsider, Fraction(1), Fraction(1), Fraction(1), Fraction(1))
        case _:
            return _NoiseFaced(Fraction(1), None, None, None, None)


def _fewest_of_kind(plan: Plan, kind: str) -> int:
    """Fewest institutions of that type, the asking one among them, in any attempt with masks.

    All of them add noise to whatever coordinate one of them moves.
    """
    same = sum(member.kind == kind for member in plan.roster.members)
    others = len(plan.members) - same
    fewest = max(FEWEST_MEMBERS, len(plan.members) - plan.privacy.max_drops)
    return max(1, min(same, fewest - others))
