"""What a plan's reader is told about noise, masks and blocks with few owners; and the policy that accepts the plan."""

from dataclasses import replace
from math import sqrt

import pytest

from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate
from fedcredit.plan import Placement, Plan, PrivacyTerms, PrivacyUnit
from fedcredit.wire.messages import Role
from simulations.federation import Federation, JobSpec, found
from simulations.federation import _policy as policy_of
from simulations.placement import masks_for
from simulations.plan_words import coordinator_sees, device_note, joint_note, plan_notes, readable_stddev
from tests import tiny

NOISY = (Placement.LOCAL, Placement.DISTRIBUTED)


def terms(placement: Placement, n: int, *, colluders: int = 1, masks: str = "auto") -> PrivacyTerms:
    promise = {} if placement is Placement.NONE else {"epsilon": 4.0, "delta": 1e-5}
    return PrivacyTerms(
        placement=placement,
        unit=PrivacyUnit.RECORD,
        colluders=colluders,
        masks=masks_for(masks, n),
        **promise,
    )


def consortium(placement: Placement, banks: int, hospitals: int, **changes) -> tuple[Federation, JobSpec]:
    members = [tiny.institution(f"bank-{i}", "bank", seed=i) for i in range(banks)]
    members += [tiny.institution(f"hospital-{i}", "hospital", seed=50 + i) for i in range(hospitals)]
    job = tiny.spec(terms(placement, banks + hospitals, **changes))
    return found(tiny.dictionary(), tuple(members), job), job


def plan_of(placement: Placement, banks: int, hospitals: int, **changes) -> Plan:
    return consortium(placement, banks, hospitals, **changes)[0].plan


def notes(plan: Plan, asked: str = "auto") -> str:
    return " ".join(plan_notes(plan, tiny.dictionary(), asked))


def test_the_placement_and_why() -> None:
    six = plan_of(Placement.DISTRIBUTED, 3, 3)
    assert "Noise placement: distributed (chosen by auto: 6 institutions, and t = 1 needs 3 or more)" in notes(six)
    assert "Noise placement: distributed (as asked for)" in notes(six, "distributed")
    assert "local (chosen by auto: 2 institution(s), and distributed noise with t = 1 needs 3)" in notes(
        plan_of(Placement.LOCAL, 1, 1)
    )
    assert "simulation only" in notes(plan_of(Placement.CENTRAL, 3, 3), "central")
    assert "Noise placement" not in notes(plan_of(Placement.NONE, 3, 3), "none")


def test_the_joint_epsilon_is_the_largest_and_says_that_it_limits_nothing() -> None:
    (note,) = joint_note({"bank-1": 0.91234, "hospital-1": 0.5, "bank-2": None})
    assert note.startswith("If all parameters were fixed in advance, the planned ε would be 0.912 ")
    assert "limited by its own, larger number" in note
    assert joint_note({"bank-1": None, "hospital-1": None}) == ()


@pytest.mark.parametrize(("colluders", "honest"), [(0, 6), (1, 5), (4, 2)])
def test_the_share_is_the_variance_over_the_honest(colluders, honest) -> None:
    plan = plan_of(Placement.DISTRIBUTED, 3, 3, colluders=colluders)
    evaluate = plan.phases.evaluate
    share = sqrt(max(evaluate.noise_variance.values()) / honest) / evaluate.scale
    text = notes(plan)
    assert f"σ²/(n - t) = σ²/{honest}" in text
    assert f"{share:.3g} per score-bin count" in text
    assert "σ²" not in notes(plan_of(Placement.LOCAL, 3, 3, colluders=colluders))


@pytest.mark.parametrize("placement", Placement)
def test_masks_are_named_with_their_reason(placement) -> None:
    assert "Masks: on." in notes(plan_of(placement, 2, 1), placement)
    assert "Masks: off (simulation)" in notes(plan_of(placement, 2, 1, masks="off"), placement)
    if placement is not Placement.DISTRIBUTED:
        assert "Masks: off (fewer than 3 institutions)" in notes(plan_of(placement, 1, 1), placement)


def test_shares_without_masks_protect_from_nobody_and_say_so() -> None:
    plan = plan_of(Placement.DISTRIBUTED, 3, 3, masks="off")
    assert "so its ε are above the planned ones" in notes(plan)
    assert "its share of the noise only (packets are not masked)" in coordinator_sees(plan)


@pytest.mark.parametrize("placement", Placement)
def test_what_the_coordinator_sees(placement) -> None:
    masked, single = (coordinator_sees(plan_of(placement, 2, 1, masks=masks)) for masks in ("on", "off"))
    assert "sums over all members of an attempt" in masked
    assert "varies the members" in masked
    assert ("under the noise that docs/threat-model.md states" in masked) is (placement is not Placement.NONE)
    assert single.startswith("each institution's")
    assert "sums over all members" not in single


def test_blocks_of_few_owners_are_named_with_the_noise_that_is_left() -> None:
    plan = plan_of(Placement.DISTRIBUTED, 3, 2)
    text = notes(plan)
    assert "Fewer than 3 institutions own: hospital 2, hospital intercept 2; their policies must allow it" in text
    assert "(min_owners: 2)" in text
    for role in Role:
        assert f"{readable_stddev(plan, role):.3g} per " in text
    assert "Every block and intercept has 3 owners or more" in notes(plan_of(Placement.DISTRIBUTED, 3, 3))
    assert "own:" not in notes(plan_of(Placement.LOCAL, 1, 0))
    local = notes(plan_of(Placement.LOCAL, 3, 2))
    assert "Another member can read" in local
    assert "policies" not in local


@pytest.mark.parametrize("role", Role)
def test_another_member_reads_through_all_shares_but_its_own(role) -> None:
    """With t = 1 that is the whole noise; with t = 0 one share less of the fewest, four; locally its own."""
    for colluders, part in ((1, 1.0), (0, 3 / 4)):
        plan = plan_of(Placement.DISTRIBUTED, 3, 2, colluders=colluders)
        phase = plan.phases.of(role)
        whole = max(phase.noise_variance.values()) / phase.scale**2
        assert readable_stddev(plan, role) ** 2 == pytest.approx(part * whole, rel=1e-4)
    local = plan_of(Placement.LOCAL, 3, 2)
    phase = local.phases.of(role)
    assert readable_stddev(local, role) == pytest.approx(sqrt(min(phase.noise_variance.values())) / phase.scale)


# --- policies


@pytest.mark.parametrize("placement", NOISY)
@pytest.mark.parametrize(("banks", "hospitals", "owners"), [(3, 3, 3), (4, 2, 2), (2, 1, 1), (5, 4, 3)])
@pytest.mark.parametrize("colluders", [0, 1])
def test_the_policy_of_a_noised_job_asks_what_its_plan_gives(placement, banks, hospitals, owners, colluders) -> None:
    founded, job = consortium(placement, banks, hospitals, colluders=colluders)
    policy = policy_of(founded, job)
    assert isinstance(policy, Policy)
    assert policy.placements == NOISY
    assert policy.min_institutions == 3
    assert policy.min_owners == founded.plan.privacy.min_owners == owners
    assert policy.max_drops == 1
    assert policy.assume_no_colluders is (colluders == 0)


def test_two_institutions_have_a_policy_for_two() -> None:
    founded, job = consortium(Placement.LOCAL, 1, 1)
    policy = policy_of(founded, job)
    assert isinstance(policy, Policy)
    assert policy.min_institutions == 2


@pytest.mark.parametrize("placement", Placement)
def test_no_policy_where_an_institution_could_not_accept_the_plan(placement) -> None:
    founded, job = consortium(placement, 2, 1, masks="off")
    assert policy_of(founded, job) == NotPrivate("public")
    founded, job = consortium(placement, 2, 1)
    expected = Policy if placement in NOISY else NotPrivate
    assert isinstance(policy_of(founded, job), expected)
    assert policy_of(founded, replace(job, noise_seed=1)) == NotPrivate("public")


def test_the_device_that_auto_took_is_named():
    assert device_note("torch-cuda") == ("Sums: torch on cuda.",)
    assert device_note("torch-cpu") == ("Sums: torch on cpu.",)
    assert device_note("compiled") == device_note("numpy") == ()
