"""From a target epsilon to a plan: noise for every phase, so that all messages plus the reserve meet the target.

The total cost (sum of mu², or Renyi divergence at one order when a phase is sampled) is split by fixed public
shares; each institution type's integer noise variance is the smallest that keeps its own sensitivity within the
phase's share. A type that owns fewer columns has a smaller sensitivity and adds less noise for the same epsilon.
Where one noise serves all types, whole or in shares, it is sized for the largest sensitivity.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import PrivacyError
from fedcredit.models.specs import ModelSpec
from fedcredit.ownership import fewest_owners
from fedcredit.plan import EvaluationTerms, Phases, PhaseTerms, Placement, Plan, PrivacyTerms
from fedcredit.privacy import gdp, rdp, rounded_gaussian
from fedcredit.privacy.accounting import (
    Accountant,
    GaussianAccountant,
    Mechanism,
    MixedAccountant,
    NoAccountant,
)
from fedcredit.privacy.shares import check_members, share_variance
from fedcredit.roster import FEWEST_MEMBERS, Roster
from fedcredit.terms import Derived, derive
from fedcredit.wire.messages import Role


@dataclass(frozen=True, slots=True)
class BudgetShares:
    """Percent of the job's total cost for each phase; what is left is the retry reserve."""

    preflight: int = 9
    train: int = 75
    evaluate: int = 6

    @property
    def reserve(self) -> int:
        """Percent kept for retries.

        Raises
        ------
        PrivacyError
            If the shares are not positive or leave less than nothing.
        """
        rest = 100 - self.preflight - self.train - self.evaluate
        if min(self.preflight, self.train, self.evaluate) <= 0 or rest < 0:
            raise PrivacyError(f"budget shares must be above 0 and sum to at most 100, got {self}.")
        return rest

    def of(self, role: Role) -> Fraction:
        """Share of a phase, as a fraction of 1."""
        percent = {Role.PREFLIGHT: self.preflight, Role.TRAIN: self.train, Role.EVALUATE: self.evaluate}[role]
        return Fraction(percent, 100)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a person asks for; `make_plan` turns it into constants.

    Attributes
    ----------
    coordinator_region
        Where the coordinator runs; members whose policies have a rule for routes ask for it.
    renyi_order
        Order of the members' mixed ledgers (``fedcredit ledger show``), where a plan must be counted by them; None for
        gaussian ledgers.
    """

    job: str
    purpose: str
    coordinator: str
    coordinator_key: bytes
    roster: Roster
    privacy: PrivacyTerms
    shares: BudgetShares
    model: ModelSpec
    evaluation: EvaluationTerms
    evaluation_percent: int
    coordinator_region: str | None = None
    renyi_order: int | None = None


def make_plan(request: JobRequest, dictionary: DataDictionary) -> Plan:
    """Calibrate every phase and write the plan.

    Raises
    ------
    PrivacyError
        If epsilon or delta are unusable, the institutions are too few for shared noise or masks, or the noise would be
        too small for the lattice.
    """
    members = len(request.roster.members)
    privacy = request.privacy.model_copy(update={"reserve_percent": request.shares.reserve})
    if privacy.delta is not None:
        gdp.check_delta(privacy.delta, request.roster.total_size)
    _check_members(privacy, members)
    _check_owners(privacy, request.roster, dictionary)
    derived = derive(dictionary, request.model, request.evaluation, privacy.max_records_per_person)
    _check_local_steps(privacy, derived[Role.TRAIN].local_steps)
    rounds = {Role.PREFLIGHT: 1, Role.TRAIN: request.model.rounds, Role.EVALUATE: 1}
    accountant = accountant_for(privacy, derived[Role.TRAIN].sampling_rate, request.renyi_order)
    phases = {
        role: _calibrate(
            terms,
            rounds[role],
            _share(accountant, privacy, request.shares, role) / (rounds[role] * terms.local_steps),
            accountant,
            privacy,
            members,
        )
        for role, terms in derived.items()
    }
    return Plan(
        job=request.job,
        purpose=request.purpose,
        coordinator=request.coordinator,
        coordinator_key=request.coordinator_key.hex(),
        coordinator_region=request.coordinator_region,
        dictionary=dictionary.digest().hex(),
        roster=request.roster,
        privacy=privacy,
        phases=Phases(preflight=phases[Role.PREFLIGHT], train=phases[Role.TRAIN], evaluate=phases[Role.EVALUATE]),
        evaluation=request.evaluation,
        evaluation_percent=request.evaluation_percent,
        model=request.model,
    )


def _check_local_steps(privacy: PrivacyTerms, local_steps: int) -> None:
    if local_steps > 1 and privacy.placement not in {Placement.LOCAL, Placement.NONE}:
        raise PrivacyError(
            f"local_steps={local_steps} needs noise of each institution's own at every step, not "
            f"{privacy.placement.value} noise; set privacy.placement=local, or model.local_steps=1."
        )


def _check_owners(privacy: PrivacyTerms, roster: Roster, dictionary: DataDictionary) -> None:
    """Shared noise with too few owners of a block would hide records, and no owner's own totals."""
    if privacy.placement is not Placement.DISTRIBUTED:
        return
    fewest = fewest_owners(roster, dictionary, tuple(member.id for member in roster.members))
    if fewest < privacy.min_owners:
        raise PrivacyError(
            f"a block or intercept has {fewest} owners, fewer than privacy.min_owners={privacy.min_owners}; lower that "
            "if every owner's policy allows it, or use privacy.placement=local."
        )


def evaluation_noise_stddev(privacy: PrivacyTerms, shares: BudgetShares, groupings: int, n_institutions: int) -> float:
    """Standard deviation, in records, of the summed noise on one cell of phase evaluate.

    Raises
    ------
    PrivacyError
        If the institutions are too few for shared noise or masks.
    """
    _check_members(privacy, n_institutions)
    accountant = accountant_for(privacy, 1.0)
    if isinstance(accountant, NoAccountant):
        return 0.0
    sensitivity_squared = groupings * privacy.max_records_per_person**2
    released = _released_noise(privacy, n_institutions)
    return math.sqrt(released * sensitivity_squared / _share(accountant, privacy, shares, Role.EVALUATE))


def accountant_for(privacy: PrivacyTerms, sampling_rate: float, renyi_order: int | None = None) -> Accountant:
    """The accountant that a job with these terms needs, with the job's own target as its budget.

    Parameters
    ----------
    renyi_order
        Order of the members' mixed ledgers, which then count every plan; None where they are gaussian, or are opened
        for this job alone.
    """
    if privacy.placement is Placement.NONE or privacy.epsilon is None or privacy.delta is None:
        return NoAccountant()
    if renyi_order is not None:
        return MixedAccountant.for_target(privacy.epsilon, privacy.delta, renyi_order)
    if sampling_rate == 1.0:
        return GaussianAccountant.for_target(privacy.epsilon, privacy.delta)
    return mixed_accountant(privacy.epsilon, privacy.delta)


def mixed_accountant(epsilon: float, delta: float) -> MixedAccountant:
    """An accountant for sampled and plain releases with the budget of (epsilon, delta)."""
    return MixedAccountant.for_target(epsilon, delta, _renyi_order(epsilon, delta))


def _renyi_order(epsilon: float, delta: float) -> int:
    """The order with the largest budget relative to a Gaussian's cost, which grows in proportion to the order."""

    def usable(order: int) -> float:
        try:
            return rdp.budget(epsilon, delta, order) / order
        except PrivacyError:
            return 0.0

    return max(rdp.ORDERS, key=usable)


def _check_members(privacy: PrivacyTerms, members: int) -> None:
    if privacy.placement is Placement.DISTRIBUTED:
        check_members(members, privacy.colluders)
    if privacy.masks and members < FEWEST_MEMBERS:
        raise PrivacyError(
            f"masks hide nothing among {members} institution(s): each works out the other's vector from the sum; "
            f"switch masks off, or add institutions up to {FEWEST_MEMBERS}."
        )


def _released_noise(privacy: PrivacyTerms, members: int) -> Fraction:
    """Noise of the released sums of all members, in parts of the plan's variance."""
    match privacy.placement:
        case Placement.LOCAL:
            return Fraction(members)
        case Placement.DISTRIBUTED:
            return Fraction(members, members - privacy.colluders)
        case _:
            return Fraction(1)


def _share(accountant: Accountant, privacy: PrivacyTerms, shares: BudgetShares, role: Role) -> Fraction:
    if privacy.epsilon is None or privacy.delta is None:
        return Fraction(0)
    return accountant.target(privacy.epsilon, privacy.delta) * shares.of(role)


def _calibrate(
    terms: Derived, rounds: int, cost: Fraction, accountant: Accountant, privacy: PrivacyTerms, members: int
) -> PhaseTerms:
    sized_for = dict(terms.sensitivity_squared)
    if privacy.placement in {Placement.CENTRAL, Placement.DISTRIBUTED}:  # one noise serves every type's records
        sized_for = dict.fromkeys(sized_for, max(sized_for.values()))
    noise_variance = {
        kind: _noise_variance(squared, terms.sampling_rate, cost, accountant) for kind, squared in sized_for.items()
    }
    for variance in filter(None, noise_variance.values()):
        _check_noise(variance, privacy, members)
    return PhaseTerms(
        rounds=rounds,
        vector_length=terms.vector_length,
        scale=terms.scale,
        sampling_rate=terms.sampling_rate,
        local_steps=terms.local_steps,
        sensitivity_squared=_sorted(terms.sensitivity_squared),
        noise_variance=_sorted(noise_variance),
    )


def _check_noise(variance: int, privacy: PrivacyTerms, members: int) -> None:
    if variance < rounded_gaussian.MIN_NOISE_VARIANCE:
        raise PrivacyError("so large an epsilon needs less noise than the integer lattice carries; lower epsilon.")
    rounded_gaussian.check_noise_variance(variance)
    if privacy.placement is Placement.DISTRIBUTED:
        share_variance(variance, members, privacy.colluders)


def _noise_variance(sensitivity_squared: int, sampling_rate: float, cost: Fraction, accountant: Accountant) -> int:
    """The smallest variance whose cost is at most `cost`, by bisection: cost falls with variance."""
    if isinstance(accountant, NoAccountant):
        return 0
    if isinstance(accountant, GaussianAccountant):
        return gdp.noise_variance_for(sensitivity_squared, cost)

    def affordable(variance: int) -> bool:
        return accountant.cost(Mechanism(sensitivity_squared, variance, sampling_rate)) <= cost

    high = sensitivity_squared
    while not affordable(high):
        high *= 2
    low = 0
    while high - low > max(1, high >> 40):
        middle = (low + high) // 2
        low, high = (low, middle) if middle and affordable(middle) else (middle, high)
    return high


def _sorted(values: Mapping[str, int]) -> dict[str, int]:
    return {name: values[name] for name in sorted(values)}
