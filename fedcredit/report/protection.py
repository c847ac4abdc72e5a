"""Part 3: what protects a record, in plain words and in numbers, and what does not.

A μ-GDP job hides whether one record took part as well as a test between N(0, 1) and N(μ, 1) hides which it was. The
best test that anybody can make gains at most ``2 Φ(μ/2) - 1`` over guessing (true minus false positive rate); so much
is the worst-case advantage of an attack on one record, whatever it is and whatever else the attacker knows. Where a
ledger proves (ε, δ) alone, the bound is ``(e^ε - 1 + 2δ) / (e^ε + 1)``.

References
----------
J. Dong, A. Roth, W. Su, "Gaussian differential privacy", Journal of the Royal Statistical Society B 84 (2022), 3-54.
P. Kairouz, S. Oh, P. Viswanath, "The composition theorem for differential privacy", ICML 2015, theorem 2.1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from scipy.special import ndtr

from fedcredit.models.descent_spec import DescentSpec
from fedcredit.plan import Placement, Plan, PrivacyUnit
from fedcredit.planning import accountant_for
from fedcredit.privacy import gdp
from fedcredit.privacy.printed import at_most
from fedcredit.privacy.statement import PrivacyStatement, planned_cost, statement
from fedcredit.report.inputs import ReportInputs

_OBSERVERS = (
    ("outsiders, who see the released model and sums", "epsilon_outsider"),
    ("the coordinator with {t} colluding institution(s); the noise is set to meet this one", "epsilon_t"),
    ("the coordinator with one colluding institution", "epsilon_one_colludes"),
    ("the coordinator with half of the other institutions", "epsilon_half_collude"),
    ("the coordinator with all other institutions", "epsilon_all_others"),
)
_PLACEMENT = {
    Placement.DISTRIBUTED: "All institutions together add the noise, each a share, before anything leaves them.",
    Placement.LOCAL: "Each institution adds the whole noise to everything that it sends, before it leaves.",
    Placement.CENTRAL: (
        "One noise was added to the sums as if a trusted server did it: there is no guarantee against the "
        "coordinator, and only a simulation may do it."
    ),
    Placement.NONE: "No noise was added: there is no privacy guarantee, and figures are exact.",
}
_NOT_COVERED = (
    "Conclusions about groups of people: a scorecard is meant to learn them.",
    "An institution that sends false counts (poisoning), or misuses its own data.",
    "The number of records that each institution declares, which is public, and who takes part.",
    "An institution's own totals, against a coordinator that compares sums over different members.",
    "What other jobs released about the same records; each institution's own ledger adds them up.",
    "What a person's records at several institutions say together: each institution's ε is about its own.",
)
_MEASURED_EXACTLY = "The exact figures of this simulation, which are computed from the records without noise."


@dataclass(frozen=True, slots=True)
class Exposure:
    """The largest ε of an institution type against one observer.

    Attributes
    ----------
    epsilon
        None where nothing is bounded or stated.
    mu
        Of Gaussian differential privacy; None where the ledger does not count in it.
    advantage
        Most that an attack on one record gains over guessing, in [0, 1]; 1 where nothing is bounded.
    """

    observer: str
    epsilon: float | None
    mu: float | None
    advantage: float


@dataclass(frozen=True, slots=True)
class KindPrivacy:
    """One institution type: its exposures, and what its institutions planned and spent at most."""

    kind: str
    exposures: tuple[Exposure, ...]
    epsilon_planned: float | None
    epsilon_spent: float | None
    receipts: int


@dataclass(frozen=True, slots=True)
class Protection:
    """The part.

    Attributes
    ----------
    words
        For people who are no experts, one sentence each.
    not_covered
        What no ε covers.
    """

    private: bool
    placement: str
    masks: bool
    unit: str
    delta: float | None
    accountant: str | None
    words: tuple[str, ...]
    kinds: tuple[KindPrivacy, ...]
    not_covered: tuple[str, ...]


def protection_of(inputs: ReportInputs) -> Protection:
    """Compute the part."""
    plan = inputs.plan
    private = plan.privacy.placement in (Placement.DISTRIBUTED, Placement.LOCAL)
    kinds = tuple(dict.fromkeys(member.kind for member in plan.roster.members))
    modes = {str(one.get("accountant", {}).get("mode")) for one in inputs.statements.values()}
    found = tuple(_of_kind(plan, kind, inputs.statements) for kind in kinds)
    return Protection(
        private=private,
        placement=plan.privacy.placement.value,
        masks=plan.privacy.masks,
        unit=plan.privacy.unit.value,
        delta=plan.privacy.delta,
        accountant=", ".join(sorted(modes)) or None,
        words=_words(plan, found),
        kinds=found,
        not_covered=(*_NOT_COVERED, _exchanged(plan), *([_MEASURED_EXACTLY] if inputs.metrics is not None else [])),
    )


def advantage_of(mu: float) -> float:
    """Most that any test for one record gains over guessing under μ-GDP."""
    return float(2 * ndtr(mu / 2) - 1)


def advantage_bound(epsilon: float, delta: float) -> float:
    """The same under (ε, δ)-DP alone."""
    return min(1.0, (math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1))


def _exchanged(plan: Plan) -> str:
    """What telling two values of a unit apart gains over telling whether it took part.

    A label moves a record between two cells of a histogram, and its residual by the table's whole range. Clipped
    gradients of the two labels point in opposite directions; and which of a person's records are kept is drawn by what
    stands in them, so that another label may be another record.
    """
    unit = plan.privacy.unit
    told = f"Two {unit.value}s exchanged for each other can be told apart as if the noise were half as strong"
    if isinstance(plan.model, DescentSpec) or unit is PrivacyUnit.PERSON:
        return f"{told}; so can the two labels of one record."
    return f"{told}; a flipped label as if it were at most √2 times weaker."


def _of_kind(plan: Plan, kind: str, statements: Mapping[str, Mapping[str, Any]]) -> KindPrivacy:
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    cost = planned_cost(plan, kind, accountant)
    planned = statement(plan, kind, accountant, cost, Fraction(0))
    members = {member.id for member in plan.roster.members if member.kind == kind}
    spent = [one["epsilon_spent"] for name, one in statements.items() if name in members]
    known = [value for value in spent if value is not None]
    return KindPrivacy(
        kind,
        _exposures(plan, planned),
        epsilon_planned=planned.epsilon_planned,
        epsilon_spent=max(known, default=None),
        receipts=len(spent),
    )


def _exposures(plan: Plan, planned: PrivacyStatement) -> tuple[Exposure, ...]:
    sampled = plan.phases.train.sampling_rate < 1
    return tuple(
        _exposure(observer.format(t=plan.privacy.colluders), getattr(planned, name), planned.delta, sampled)
        for observer, name in _OBSERVERS
    )


def _exposure(observer: str, epsilon: float | None, delta: float | None, sampled: bool) -> Exposure:
    if epsilon is None or delta is None:
        return Exposure(observer, None, None, 1.0)
    if sampled:
        return Exposure(observer, epsilon, None, advantage_bound(epsilon, delta))
    mu = gdp.mu_of(epsilon, delta) if epsilon > 0 else 0.0
    return Exposure(observer, epsilon, mu, advantage_of(mu))


def _words(plan: Plan, kinds: tuple[KindPrivacy, ...]) -> tuple[str, ...]:
    placement = (_PLACEMENT[plan.privacy.placement],)
    if plan.privacy.placement not in (Placement.DISTRIBUTED, Placement.LOCAL):
        return placement
    sees = "only sums over all members of an attempt" if plan.privacy.masks else "each institution's own noised vectors"
    worst = max(one.advantage for kind in kinds for one in kind.exposures if one.observer.startswith("the coord"))
    calibrated = max(kind.exposures[1].advantage for kind in kinds)
    wins, all_win = (at_most(50 + 50 * advantage, 0) for advantage in (calibrated, worst))
    unit = plan.privacy.unit.value
    return (
        *placement,
        f"The coordinator sees {sees}.",
        (
            f"Whoever sees the results can tell only a little better than before whether one {unit} took part. Of 100 "
            f"fair bets on it, guessing wins 50 and the best possible attack at most {wins} for the coordinator with "
            f"{plan.privacy.colluders} colluding institution(s), {all_win} if all others collude."
        ),
        f"ε says the same as a number: smaller is safer, and it holds for everything that one {unit} contributes.",
    )
