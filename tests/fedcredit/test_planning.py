import math

import pytest

from fedcredit.errors import PrivacyError
from fedcredit.plan import Placement, Plan, PrivacyTerms
from fedcredit.planning import BudgetShares, JobRequest, accountant_for, evaluation_noise_stddev, make_plan
from fedcredit.privacy.accounting import MixedAccountant
from fedcredit.privacy.rounded_gaussian import MIN_NOISE_VARIANCE
from fedcredit.privacy.statement import planned_cost
from fedcredit.wire.messages import Role
from simulations.federation import found
from tests import tiny


def plan_of(terms: PrivacyTerms, members: int = 5, **changes) -> Plan:
    kinds = [("bank", "hospital")[n % 2] for n in range(members)]
    some = tuple(tiny.institution(f"i-{n}", kind) for n, kind in enumerate(kinds))
    return found(tiny.dictionary(), some, tiny.spec(terms.model_copy(update=changes))).plan


@pytest.mark.parametrize("colluders", [0, 1, 3])
def test_shared_noise_is_one_variance_for_the_largest_sensitivity(colluders: int) -> None:
    shared = plan_of(tiny.SHARED, colluders=colluders)
    central = plan_of(tiny.SHARED, placement=Placement.CENTRAL, colluders=colluders)
    for role in Role:
        assert len(set(shared.phases.of(role).noise_variance.values())) == 1
        assert shared.phases.of(role).noise_variance == central.phases.of(role).noise_variance


def test_the_dearest_type_spends_the_target_and_no_type_more() -> None:
    plan = plan_of(tiny.SHARED)
    accountant = accountant_for(plan.privacy, 1.0)
    costs = {kind: planned_cost(plan, kind, accountant) / accountant.budget for kind in ("bank", "hospital")}
    assert 0.999 < max(costs.values()) <= 1
    assert costs["hospital"] < costs["bank"]


@pytest.mark.parametrize("placement", [Placement.LOCAL, Placement.DISTRIBUTED])
@pytest.mark.parametrize("order", [12, 18])
def test_a_plan_for_mixed_ledgers_is_counted_by_their_order(placement: Placement, order: int) -> None:
    terms = tiny.LOCAL.model_copy(update={"placement": placement, "epsilon": 1.0})
    plain = plan_of(terms)
    assert plain.privacy.epsilon is not None
    assert plain.privacy.delta is not None
    request = JobRequest(
        job=plain.job,
        purpose=plain.purpose,
        coordinator=plain.coordinator,
        coordinator_key=bytes.fromhex(plain.coordinator_key),
        roster=plain.roster,
        privacy=plain.privacy,
        shares=BudgetShares(),
        model=plain.model,
        evaluation=plain.evaluation,
        evaluation_percent=plain.evaluation_percent,
        renyi_order=order,
    )
    ledger = MixedAccountant.for_target(1.0, plain.privacy.delta, order)
    dearest = {
        name: max(planned_cost(plan, kind, ledger) for kind in ("bank", "hospital"))
        for name, plan in (("plain", plain), ("mixed", make_plan(request, tiny.dictionary())))
    }
    assert dearest["plain"] > ledger.budget
    assert 0.999 * ledger.budget < dearest["mixed"] <= ledger.budget


def test_local_noise_differs_by_type() -> None:
    assert len(set(plan_of(tiny.LOCAL).phases.train.noise_variance.values())) == 2


@pytest.mark.parametrize(("members", "colluders"), [(2, 0), (2, 1), (3, 2), (5, 4)])
def test_too_few_for_shares_is_refused_with_the_remedy(members: int, colluders: int) -> None:
    with pytest.raises(PrivacyError, match=rf"got {members}; use privacy\.placement=local"):
        plan_of(tiny.SHARED, members, colluders=colluders)


def test_masks_among_two_are_refused() -> None:
    with pytest.raises(PrivacyError, match="masks hide nothing among 2"):
        plan_of(tiny.LOCAL, 2, masks=True)
    assert plan_of(tiny.LOCAL, 3, masks=True).privacy.masks


def test_a_share_below_the_lattice_is_refused() -> None:
    """Epsilon so large that the whole noise is fine enough, but a share of it is not."""
    whole = plan_of(tiny.SHARED, placement=Placement.CENTRAL, epsilon=1265.0)
    assert min(whole.phases.evaluate.noise_variance.values()) in range(MIN_NOISE_VARIANCE, 3 * MIN_NOISE_VARIANCE)
    with pytest.raises(PrivacyError, match=r"lower epsilon, or use privacy\.placement=local"):
        plan_of(tiny.SHARED, epsilon=1265.0)


@pytest.mark.parametrize(
    ("placement", "colluders", "parts"),
    [
        (Placement.CENTRAL, 1, 1),
        (Placement.DISTRIBUTED, 0, 1),
        (Placement.DISTRIBUTED, 1, 5 / 4),
        (Placement.DISTRIBUTED, 3, 5 / 2),
        (Placement.LOCAL, 1, 5),
    ],
)
def test_noise_of_a_released_evaluation_cell(placement: Placement, colluders: int, parts: float) -> None:
    terms = plan_of(tiny.SHARED, placement=placement, colluders=colluders)
    evaluate = terms.phases.evaluate
    stddev = evaluation_noise_stddev(terms.privacy, BudgetShares(), 1, 5)
    assert stddev == pytest.approx(math.sqrt(parts * max(evaluate.noise_variance.values())) / evaluate.scale, rel=1e-6)


def test_noise_of_a_released_cell_needs_enough_members() -> None:
    with pytest.raises(PrivacyError, match="got 2"):
        evaluation_noise_stddev(tiny.SHARED, BudgetShares(), 1, 2)
    assert evaluation_noise_stddev(tiny.NONE, BudgetShares(), 1, 2) == 0
