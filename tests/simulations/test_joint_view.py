"""A linked job after a base job: one budget for both, and what it does to the run's results."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.data.rows import Dataset
from fedcredit.errors import ConfigError, PrivacyError
from fedcredit.models.family import family_of
from fedcredit.models.joint_spec import JointSpec
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.plan import Placement
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.statement import planned_cost
from fedcredit.roster import Roster
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import holds, verify_run
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import JoinReply, JoinRequest, Refusal
from simulations import joint_view
from simulations.federation import COORDINATOR, Institution, custodian_of, found, run_in_process
from simulations.settings import read_settings
from simulations.simulation import compose_config, simulate
from tests import linked_rows, own_table, tiny

KINDS = ("bank", "hospital")


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_both_jobs_together_cost_what_one_would(percent):
    base, linked = joint_view.split_budget(tiny.SHARED, percent)
    accountant = GaussianAccountant.for_target(tiny.SHARED.epsilon, tiny.SHARED.delta)
    costs = [accountant.target(one.epsilon, one.delta) for one in (base, linked)]
    assert sum(costs) <= accountant.budget
    assert sum(costs) > Fraction(999, 1000) * accountant.budget
    assert costs[1] / accountant.budget == pytest.approx(percent / 100, rel=1e-3)


def test_a_share_that_leaves_nothing_is_refused():
    for percent in (0, 100):
        with pytest.raises(PrivacyError, match="1 to 99 percent"):
            joint_view.split_budget(tiny.SHARED, percent)
    assert joint_view.split_budget(tiny.NONE, 10) == (tiny.NONE, tiny.NONE)


def rows(n: int, seed: int) -> joint_view.LinkedRows:
    own, other = tiny.rows("bank", n, seed), tiny.rows("hospital", n, seed + 50)
    return joint_view.LinkedRows(own.cells, other.cells, own.bad)


def linked() -> tuple[joint_view.LinkedInstitution, ...]:
    return tuple(
        joint_view.LinkedInstitution(f"bank-{seed}", rows(400, seed), rows(100, 90 + seed)) for seed in (1, 2, 3)
    )


def test_a_joint_view_follows_a_base_job_within_one_budget():
    base_terms, linked_terms = joint_view.split_budget(tiny.SHARED, 20)
    base = replace(tiny.spec(tiny.SHARED), privacy=base_terms)
    outcome = run_in_process(tiny.federation(base), base)
    spec = joint_view.linked_spec(base, linked_terms, JointSpec())
    found_view = joint_view.run_joint(tiny.dictionary(), outcome, linked(), KINDS, spec)
    plans = outcome.plan, found_view.job.plan
    joint_view.require_within(tiny.SHARED, "bank", *plans)
    with pytest.raises(PrivacyError, match="split it anew"):
        joint_view.require_within(base_terms, "bank", *plans)
    scores = found_view.score(rows(30, 7).own, rows(30, 7).other)
    assert scores.pd.shape == (30,)
    assert np.all((scores.pd > 0) & (scores.pd < 1))
    spent = joint_view.added_up(outcome.statements, found_view.job.statements)
    assert spent["bank-1"].epsilon_planned == pytest.approx(tiny.SHARED.epsilon, rel=1e-3)
    assert spent["bank-1"].epsilon_planned <= tiny.SHARED.epsilon
    assert spent["hospital-1"] == outcome.statements["hospital-1"]


def test_no_test_row_and_no_test_label_is_trained_on():
    """Both jobs release the same model whatever the rows are that are set aside, and another one for other rows."""

    def models(train: int, evaluate: int) -> list[bytes]:
        base = tiny.spec(tiny.NONE)
        members = tuple(
            Institution(
                name, kind, Dataset(kind, tiny.rows(kind, 400, train + n), tiny.rows(kind, 90, evaluate + n), b"")
            )
            for n, (name, kind) in enumerate((("bank-1", "bank"), ("bank-2", "bank"), ("hospital-1", "hospital")))
        )
        outcome = run_in_process(found(tiny.dictionary(), members, base), base)
        spec = joint_view.linked_spec(base, tiny.NONE, JointSpec())
        parts = tuple(
            joint_view.LinkedInstitution(f"bank-{n}", rows(400, train + n), rows(90, evaluate + n)) for n in (1, 2)
        )
        job = joint_view.run_joint(tiny.dictionary(), outcome, parts, KINDS, spec).job
        return [family_of(one.plan.model.family).final(one.progress.state) for one in (outcome, job)]

    first, second, third = models(10, 500), models(10, 900), models(20, 500)
    assert first == second
    assert first[0] != third[0]
    assert first[1] != third[1]


def test_another_model_may_be_fitted_to_linked_rows():
    base = tiny.spec(tiny.NONE)
    outcome = run_in_process(tiny.federation(base), base)
    spec = replace(joint_view.linked_spec(base, tiny.NONE, JointSpec()), model=base.model)
    assert joint_view.run_joint(tiny.dictionary(), outcome, linked(), KINDS, spec).score(*_cells()).pd.size == 30


def _cells():
    return rows(30, 7).own, rows(30, 7).other


def test_a_sampled_base_job_has_no_joint_view():
    sampled = replace(tiny.spec(), model=MlpSpec(rounds=1))
    with pytest.raises(ConfigError, match="sampled base job of family 'mlp'"):
        joint_view.linked_spec(sampled, tiny.LOCAL, JointSpec())


def test_one_ledger_is_charged_by_both_jobs_and_refuses_a_third():
    """The same population, the same ledger: the linked job reserves from what the base job has left."""
    job, linked_job = tiny.spec(), replace(linked_rows.job(), name="linked")
    base = tiny.federation(job)
    accountant = GaussianAccountant.for_target(6.0, 1e-5)
    ledger = Ledger.create(None, base.keys["bank-1"], Account("bank-1", "record", accountant))
    first = custodian_of(base, base.institutions[0], job, None)
    policy = first._site.policy.model_copy(update={"epsilon": 6.0})
    assert isinstance(_join(base, Custodian(replace(first._site, policy=policy), ledger)), JoinReply)
    made = linked_rows.federation(linked_job)
    roster = _following(made.plan.roster, base.plan.roster, base.keys["bank-1"].public.hex())
    replies = []
    for name in ("linked", "third"):
        plan = made.plan.model_copy(update={"roster": roster, "job": name})
        after = replace(made, plan=plan, keys={**made.keys, "bank-1": base.keys["bank-1"]})
        second = custodian_of(after, after.institutions[0], linked_job, None)
        site = replace(second._site, policy=policy.model_copy(update={"purposes": second._site.policy.purposes}))
        replies.append(_join(after, Custodian(site, ledger)))
    assert isinstance(replies[0], JoinReply), replies[0]
    costs = [planned_cost(plan, "bank", accountant) for plan in (base.plan, made.plan)]
    assert [job.reserved for job in ledger.jobs().values()] == costs
    assert isinstance(replies[1], Refusal)
    assert replies[1].code == "budget"
    ledger.close()


def _following(roster: Roster, before: Roster, own_key: str) -> Roster:
    """The banks' roster as the next version after the whole consortium's."""
    members = tuple(
        one.model_copy(update={"public_key": own_key}) if one.id == "bank-1" else one for one in roster.members
    )
    return Roster(version=2, previous=before.digest().hex(), expires=roster.expires, members=members)


def _join(federation, custodian: Custodian):
    request = federation.coordinator_key.seal(COORDINATOR, JoinRequest(federation.plan.to_bytes()))
    return open_envelope(custodian.handle(request)).verify(federation.keys["bank-1"].public)


def test_the_experiment_joins_both_views_within_its_budget(tmp_path: Path):
    folder = tmp_path / "run"
    table = own_table.overrides(own_table.write(tmp_path / "table.csv", own_table.rows(3000)))
    few = ["privacy.epsilon=8", "+model.rounds=4", "federation.hospitals=1", "noise.seed=3", f"run.dir={folder}"]
    result = simulate(["experiment=uci_joint", *table, *few])
    assert result.joint.by_view["all"] != result.joint.by_view["bank"]
    assert result.joint.by_view["all"].auc > 0.6
    for name, statement in result.privacy.items():
        assert statement.epsilon_planned <= 8.0
        assert (statement.epsilon_planned > 7.9) == name.startswith("bank")
    assert holds(verify_run(find_run(folder / "linked", None)))
    model = json.loads((folder / "linked" / "released" / "model.json").read_text())
    assert model["view"] == "bank"
    assert "fitted on consented linked rows" in (folder / "index.html").read_text()


def test_settings_split_the_budget_and_keep_rivals_whole():
    config = compose_config(["experiment=uci_joint", "linked.fit=surface", "linked.percent=20"])
    settings = read_settings(config, 30_000)
    assert settings.target.epsilon == 1.0
    assert settings.job.privacy.epsilon < 1.0
    assert settings.linked.model.fit == "surface"
    assert settings.linked.privacy.placement is Placement.DISTRIBUTED
    assert read_settings(compose_config([]), 30_000).linked is None
    with pytest.raises(ConfigError, match="needs runtime=in_process"):
        read_settings(compose_config(["experiment=uci_joint", "runtime=flower"]), 30_000)


def test_one_type_has_nobody_to_be_joined_with():
    with pytest.raises(ConfigError, match="needs two"):
        joint_view.kinds_of(linked_rows.dictionary())
    assert joint_view.kinds_of(tiny.dictionary()) == KINDS
    assert joint_view.kinds_of(tiny.dictionary(), "hospital") == ("hospital", "bank")
    with pytest.raises(ConfigError, match=r"linked.customers='insurer' is no institution type .*: bank, hospital"):
        joint_view.kinds_of(tiny.dictionary(), "insurer")
