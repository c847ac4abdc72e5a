"""The printed numbers, each against the cost of the noise that its observer faces, worked out by hand."""

from fractions import Fraction

import pytest

from fedcredit.errors import PrivacyError
from fedcredit.plan import Placement, Plan, PrivacyTerms
from fedcredit.planning import accountant_for
from fedcredit.privacy.accounting import Mechanism
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.privacy.statement import PrivacyStatement, planned_cost, statement
from fedcredit.wire.messages import Role
from simulations.federation import found
from tests import tiny

AGAINST_INSIDERS = ("epsilon_t", "epsilon_one_colludes", "epsilon_half_collude", "epsilon_all_others")


def plan_of(terms: PrivacyTerms, banks: int = 3, hospitals: int = 2, **changes) -> Plan:
    spec = tiny.spec(terms.model_copy(update=changes))
    kinds = ["bank"] * banks + ["hospital"] * hospitals
    return found(tiny.dictionary(), tuple(tiny.institution(f"i-{n}", kind) for n, kind in enumerate(kinds)), spec).plan


def stated(plan: Plan, kind: str = "bank") -> PrivacyStatement:
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    planned = planned_cost(plan, kind, accountant)
    return statement(plan, kind, accountant, planned, planned / 2)


def epsilon(plan: Plan, noise: Fraction, kind: str = "bank") -> float | None:
    """Epsilon of the plan's messages where the noise is so many times the planned one, phase by phase."""
    accountant = accountant_for(plan.privacy, 1.0)
    cost = Fraction(0)
    for role in Role:
        terms = plan.phases.of(role)
        cost += Fraction(terms.sensitivity_squared[kind] * terms.rounds) / (terms.noise_variance[kind] * noise)
    return accountant.epsilon(cost * plan.reserve_factor, plan.privacy.delta)


@pytest.mark.parametrize(
    ("colluders", "outsider", "one", "half", "everybody"),
    [
        (0, Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 5)),
        (1, Fraction(5, 4), Fraction(1), Fraction(2, 3), Fraction(1, 4)),
        (2, Fraction(5, 3), Fraction(4, 3), Fraction(1), Fraction(1, 3)),
        (3, Fraction(5, 2), Fraction(2), Fraction(3, 2), Fraction(1, 2)),
    ],
)
def test_masked_shares(colluders: int, outsider: Fraction, one: Fraction, half: Fraction, everybody: Fraction) -> None:
    plan = plan_of(tiny.SHARED, colluders=colluders)
    numbers = stated(plan)
    assert numbers.epsilon_outsider == pytest.approx(epsilon(plan, outsider), rel=1e-5)
    assert numbers.epsilon_one_colludes == pytest.approx(epsilon(plan, one), rel=1e-5)
    assert numbers.epsilon_half_collude == pytest.approx(epsilon(plan, half), rel=1e-5)
    assert numbers.epsilon_all_others == pytest.approx(epsilon(plan, everybody), rel=1e-5)
    assert numbers.epsilon_t == numbers.epsilon_planned <= plan.privacy.epsilon
    assert numbers.epsilon_spent < numbers.epsilon_planned


def test_who_owns_less_spends_less_of_one_common_noise() -> None:
    plan = plan_of(tiny.SHARED)
    assert stated(plan, "hospital").epsilon_t < stated(plan, "bank").epsilon_t == pytest.approx(4.0, rel=1e-3)


def test_numbers_of_a_roster_bound_those_of_every_smaller_one() -> None:
    plan = plan_of(tiny.SHARED, banks=4, hospitals=3)
    full = stated(plan)
    for size in (3, 4, 5, 6):
        roster = plan.roster.model_copy(update={"members": plan.roster.members[:size]})
        smaller = stated(plan.model_copy(update={"roster": roster}))
        for name in ("epsilon_outsider", *AGAINST_INSIDERS):
            assert getattr(smaller, name) <= getattr(full, name), (name, size)


def test_shares_without_masks_protect_like_one_share() -> None:
    plan = plan_of(tiny.SHARED, masks=False)
    numbers = stated(plan)
    assert numbers.epsilon_outsider is None
    for name in AGAINST_INSIDERS:
        assert getattr(numbers, name) == stated(plan_of(tiny.SHARED)).epsilon_all_others > numbers.epsilon_planned


def test_local_noise_is_one_number_against_all_insiders() -> None:
    numbers = stated(plan_of(tiny.LOCAL, masks=False))
    assert {getattr(numbers, name) for name in AGAINST_INSIDERS} == {numbers.epsilon_planned}
    assert numbers.epsilon_outsider is None


@pytest.mark.parametrize(("banks", "hospitals", "noise"), [(5, 0, 4), (4, 1, 3), (3, 2, 2), (3, 3, 2)])
def test_masked_local_noise_counts_those_of_ones_own_type_in_the_smallest_attempt(
    banks: int, hospitals: int, noise: int
) -> None:
    plan = plan_of(tiny.LOCAL, banks, hospitals, masks=True)
    assert stated(plan).epsilon_outsider == pytest.approx(epsilon(plan, Fraction(noise)), rel=1e-5)


def test_central_noise_protects_against_outsiders_alone() -> None:
    numbers = stated(plan_of(tiny.LOCAL, placement=Placement.CENTRAL))
    assert numbers.epsilon_outsider == numbers.epsilon_planned
    assert {getattr(numbers, name) for name in AGAINST_INSIDERS} == {None}


def test_no_noise_has_no_number() -> None:
    numbers = stated(plan_of(tiny.NONE))
    assert set(numbers.to_json().values()) == {None, "record"}


def test_a_mixed_ledger_states_the_same_order_of_numbers() -> None:
    plan = plan_of(tiny.SHARED)
    sampled = plan.phases.train.model_copy(update={"sampling_rate": 0.1})
    plan = plan.model_copy(update={"phases": plan.phases.model_copy(update={"train": sampled})})
    numbers = stated(plan)
    assert numbers.epsilon_outsider < numbers.epsilon_t == numbers.epsilon_one_colludes
    assert numbers.epsilon_t < numbers.epsilon_half_collude < numbers.epsilon_all_others


def test_shares_among_too_few_have_no_number() -> None:
    plan = plan_of(tiny.SHARED).model_copy(update={"roster": tiny.federation().plan.roster})
    plan = plan.model_copy(update={"privacy": plan.privacy.model_copy(update={"colluders": 2})})
    with pytest.raises(PrivacyError, match="needs 4 institutions"):
        stated(plan)


def test_own_noise_is_the_share_of_this_attempt() -> None:
    plan, local = plan_of(tiny.SHARED), plan_of(tiny.LOCAL)
    for role in Role:
        for kind in ("bank", "hospital"):
            planned = plan.phases.of(role).noise_variance[kind]
            assert own_noise_variance(plan, kind, role, 3) == -(-planned // 2)
            assert own_noise_variance(plan, kind, role, 5) == -(-planned // 4)
            assert own_noise_variance(local, kind, role, 3) == local.phases.of(role).noise_variance[kind]
    with pytest.raises(PrivacyError, match="got 2"):
        own_noise_variance(plan, "bank", Role.TRAIN, 2)


def sampled(plan: Plan) -> Plan:
    """The same plan with sampled training, whose cost does not fall with the noise as an unsampled one's does."""
    train = plan.phases.train.model_copy(update={"sampling_rate": 0.05, "rounds": 50})
    return plan.model_copy(update={"phases": plan.phases.model_copy(update={"train": train})})


@pytest.mark.parametrize("noise", [Fraction(5, 4), Fraction(2, 3), Fraction(1, 4)])
@pytest.mark.parametrize("retried", list(Role))
def test_the_reserve_counts_at_what_the_observer_learns_most_from(noise: Fraction, retried: Role) -> None:
    """Whichever phase the coordinator spends the whole reserve on."""
    plan = sampled(plan_of(tiny.SHARED))
    accountant = accountant_for(plan.privacy, 0.05)

    def cost(role: Role, part: Fraction) -> Fraction:
        terms = plan.phases.of(role)
        variance = int(terms.noise_variance["bank"] * part)
        return accountant.cost(Mechanism(terms.sensitivity_squared["bank"], variance, terms.sampling_rate))

    planned = {part: sum(cost(role, part) * plan.phases.of(role).rounds for role in Role) for part in (1, noise)}
    reserve = planned[1] * (plan.reserve_factor - 1)
    learned = planned[noise] + reserve / cost(retried, Fraction(1)) * cost(retried, noise)
    assert planned_cost(plan, "bank", accountant, noise) >= learned
