"""The joint epsilon that a run shows: of sampled plans, per institution, below what its ledger is charged."""

import sys
from dataclasses import replace

import pytest

from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.plan import Plan, PrivacyTerms
from fedcredit.planning import accountant_for
from fedcredit.privacy.statement import planned_cost
from simulations.run import epsilons_joint
from tests import tiny

MEMBERS = {"bank-1", "bank-2", "hospital-1"}


def plan_of(privacy: PrivacyTerms, rate: float) -> Plan:
    return tiny.federation(replace(tiny.spec(privacy), model=MlpSpec(rounds=20, sampling_rate=rate))).plan


@pytest.mark.neural
@pytest.mark.parametrize("privacy", [tiny.LOCAL, tiny.SHARED], ids=["local", "shared"])
def test_a_sampled_plan_has_one_per_institution(privacy: PrivacyTerms) -> None:
    plan = plan_of(privacy, 0.1)
    joint = epsilons_joint(plan)
    assert set(joint) == MEMBERS
    assert joint["bank-1"] == joint["bank-2"]
    accountant = accountant_for(plan.privacy, 0.1)
    for member in plan.roster.members:
        planned = accountant.epsilon(planned_cost(plan, member.kind, accountant), 1e-5)
        assert 0.5 * planned < joint[member.id] < planned <= 4.0


@pytest.mark.parametrize("privacy", [tiny.LOCAL, tiny.NONE], ids=["noise", "none"])
def test_without_sampling_the_ledgers_number_is_exact_and_no_other_is_shown(privacy: PrivacyTerms) -> None:
    assert epsilons_joint(tiny.federation(tiny.spec(privacy)).plan) == dict.fromkeys(MEMBERS)


@pytest.mark.neural
def test_sampling_without_noise_has_none() -> None:
    assert epsilons_joint(plan_of(tiny.NONE, 0.1)) == dict.fromkeys(MEMBERS)


@pytest.mark.neural
def test_where_the_library_is_missing_the_plan_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tiny.LOCAL, 0.1)
    monkeypatch.setitem(sys.modules, "opacus", None)
    assert epsilons_joint(plan) == dict.fromkeys(MEMBERS)
