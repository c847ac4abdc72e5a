"""The numbers that every epsilon is printed with: planned and spent, against whom, delta and unit.

Three views of one institution's messages: outsiders, who see the released model and sums; the coordinator together
with t colluding institutions, which is the calibrated one; and the coordinator with all others. With local noise
the last two are equal: both see this institution's own noised vectors. A smaller number against outsiders may be
stated only where single packets are masked, so it is None here, except for central noise, where it is the only one
that exists.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.accounting import Accountant, Mechanism
from fedcredit.wire.messages import Role


@dataclass(frozen=True, slots=True)
class PrivacyStatement:
    """One institution's privacy in one job; None where nothing is bounded (no noise)."""

    epsilon_outsider: float | None
    epsilon_t: float | None
    epsilon_all_others: float | None
    epsilon_planned: float | None
    epsilon_spent: float | None
    delta: float | None
    unit: str

    def to_json(self) -> dict[str, Any]:
        """JSON values, same names."""
        return asdict(self)


def mechanism(plan: Plan, kind: str, role: Role) -> Mechanism:
    """The release that an institution of `kind` makes in one message of `role`.

    Raises
    ------
    ConfigError
        If the plan states no sensitivity for that type.
    """
    terms = plan.phases.of(role)
    if kind not in terms.sensitivity_squared or kind not in terms.noise_variance:
        raise ConfigError(f"the plan states no sensitivity or noise for type {kind!r}; its dictionary is another one.")
    return Mechanism(terms.sensitivity_squared[kind], terms.noise_variance[kind], terms.sampling_rate)


def planned_cost(plan: Plan, kind: str, accountant: Accountant) -> Fraction:
    """Cost of every planned message of an institution plus the retry reserve: what joining reserves."""
    messages = sum(
        (accountant.cost(mechanism(plan, kind, role)) * plan.phases.of(role).rounds for role in Role),
        Fraction(0),
    )
    return messages * plan.reserve_factor


def statement(plan: Plan, accountant: Accountant, planned: Fraction, spent: Fraction) -> PrivacyStatement:
    """Turn costs into the printed numbers.

    Parameters
    ----------
    accountant
        The unit of `planned` and `spent`.
    planned, spent
        Reserved and charged cost of the job.
    """
    if plan.privacy.placement is Placement.NONE or plan.privacy.delta is None:
        return PrivacyStatement(None, None, None, None, None, None, plan.privacy.unit.value)
    delta = plan.privacy.delta
    bound = accountant.epsilon(planned, delta)
    against_coordinator = None if plan.privacy.placement is Placement.CENTRAL else bound
    return PrivacyStatement(
        epsilon_outsider=bound if plan.privacy.placement is Placement.CENTRAL else None,
        epsilon_t=against_coordinator,
        epsilon_all_others=against_coordinator,
        epsilon_planned=bound,
        epsilon_spent=accountant.epsilon(spent, delta),
        delta=delta,
        unit=plan.privacy.unit.value,
    )
