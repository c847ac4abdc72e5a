"""``fedcredit jobs``: an operator reads what is asked, and says yes or no, while the custodian serves."""

import os
import pwd
import re

import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.plan import EvaluationTerms, plan_digest
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.printed import at_most
from fedcredit.privacy.statement import planned_cost
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import JoinReply, JoinRequest, Refusal
from tests import tiny


def plan_of(site, job="first", delta=1e-5, **fields):
    own = load_site(load_site_file(site.file))
    request = JobRequest(
        job=job,
        purpose=own.policy.purposes[0],
        coordinator="coordinator",
        coordinator_key=site.coordinator.public,
        roster=own.roster,
        privacy=tiny.LOCAL.model_copy(update={"epsilon": 2.0, "delta": delta, "masks": False}),
        shares=BudgetShares(),
        model=tiny.spec().model,
        evaluation=EvaluationTerms(score_bins=10),
        evaluation_percent=20,
        **fields,
    )
    return make_plan(request, own.dictionary)


@pytest.fixture
def manual(site, cli):
    """A site whose operator approves each plan, its ledger open for use."""
    site.change("policy.yaml", approval="manual")
    assert cli("ledger", "open", site.file).code == 0
    return site


@pytest.fixture
def serving(manual):
    """Its custodian, which holds the ledger until the test ends."""
    file = load_site_file(manual.file)
    own = load_site(file)
    with Ledger.open(file.ledger, own.key) as ledger:
        yield Custodian(own, ledger)


def join(site, custodian, plan):
    sealed = site.coordinator.seal("coordinator", JoinRequest(plan.to_bytes()))
    return open_envelope(custodian.handle(sealed)).verify(site.key().public)


def waits(site, custodian, plan):
    reply = join(site, custodian, plan)
    assert isinstance(reply, Refusal)
    assert reply.code == "approval"
    return plan.digest().hex()


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def test_approve_lets_a_plan_in_while_the_custodian_serves(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    listed = cli("jobs", "list", manual.file)
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.startswith(
        f"{name[:16]}  waiting: job first of coordinator, for: {plan.purpose}\n  bank-1, bank-2;"
    )
    done = cli("jobs", "approve", manual.file, name[:12], "--reason", "contract 7")
    assert (done.code, done.err) == (0, "")
    me = pwd.getpwuid(os.getuid()).pw_name
    assert f"approved first ({name[:16]}) as {me}" in done.out
    assert isinstance(join(manual, serving, plan), JoinReply)
    assert serving.ledger.job(plan.digest()).terms["approved_by"] == me


def test_the_account_is_not_read_from_the_environment(cli, manual, serving, monkeypatch):
    name = waits(manual, serving, plan_of(manual))
    for variable in ("LOGNAME", "USER", "USERNAME", "LNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert "somebody-else" not in cli("jobs", "approve", manual.file, name).out


def test_deny_is_final(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    assert cli("jobs", "deny", manual.file, name).code != 0
    done = cli("jobs", "deny", manual.file, name, "--reason", "no contract")
    assert done.code == 0
    waits(manual, serving, plan)
    one_sentence(cli("jobs", "approve", manual.file, name), "denied, which is final")
    listed = cli("jobs", "list", manual.file).out
    assert "denied" in listed
    assert "waiting" not in listed
    assert "no contract" in cli("jobs", "show", manual.file, name).out


def test_an_approved_job_can_be_denied_after_it_was_joined(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    cli("jobs", "approve", manual.file, name)
    assert isinstance(join(manual, serving, plan), JoinReply)
    assert cli("jobs", "deny", manual.file, name, "--reason", "contract ended").code == 0
    assert "denied" in cli("jobs", "list", manual.file).out


def test_show_says_who_asks_for_what_with_whom_at_what_cost(cli, manual, serving):
    plan = plan_of(manual, coordinator_region="DE")
    manual.change("policy.yaml", cross_border="allow")
    file = load_site_file(manual.file)
    name = waits(manual, Custodian(load_site(file), serving.ledger), plan)
    shown = cli("jobs", "show", manual.file, name[:8])
    assert (shown.code, shown.err) == (0, "")
    for words in (
        f"plan {name}: waiting",
        "running in DE",
        "member bank-2: bank, unspecified, 300 records",
        "regions of members and coordinator: DE, unspecified",
        "local noise, masks off",
        "residual_scale=1024",
        "column status (private): test; basis: test",
        "of 2.0 planned",
    ):
        assert words in shown.out, shown.out
    assert "column paid" not in shown.out


def test_list_says_what_the_plan_would_cost_this_type(cli, manual, serving):
    name = waits(manual, serving, plan_of(manual))
    first, second, *_ = cli("jobs", "list", manual.file).out.splitlines()
    assert name[:16] in first
    (epsilon,) = re.findall(r"epsilon ([0-9.]+) of this bank's budget", second)
    assert 1.9 < float(epsilon) <= 2.0


def test_list_shows_open_jobs_and_the_budget_while_the_custodian_serves(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    assert "epsilon 0.0000 of 4.0 at delta 1e-05" in cli("jobs", "list", manual.file).out
    cli("jobs", "approve", manual.file, name)
    assert f"{name[:16]}  approved: job first" in cli("jobs", "list", manual.file).out
    assert isinstance(join(manual, serving, plan), JoinReply)
    listed = cli("jobs", "list", manual.file)
    assert f"{name[:16]}  approved, open: job first" in listed.out
    assert "epsilon 2.0000 of 4.0 at delta 1e-05" in listed.out
    assert "model scorecard" in cli("jobs", "show", manual.file, name).out


def test_without_a_ledger_the_list_says_so(cli, site):
    listed = cli("jobs", "list", site.file)
    assert listed.code == 0
    assert "does not exist" in listed.out


def test_a_decision_that_no_custodian_looks_for_is_not_made(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    manual.change("policy.yaml", approval="automatic")
    one_sentence(cli("jobs", "approve", manual.file, name), "approval: manual")
    one_sentence(cli("jobs", "deny", manual.file, name, "--reason", "no"), "approval: manual")


def test_an_empty_list_is_no_fault(cli, manual):
    listed = cli("jobs", "list", manual.file)
    assert listed.code == 0
    assert "no job waits" in listed.out
    assert not (manual.folder / "ledger.sqlite.jobs").exists()


@pytest.mark.parametrize("beginning", ["", "0", "00000000", "not-a-hash", "../../etc"])
def test_a_hash_that_names_no_one_plan_is_refused(cli, manual, serving, beginning):
    waits(manual, serving, plan_of(manual))
    one_sentence(cli("jobs", "approve", manual.file, beginning), "jobs list")
    assert not list((manual.folder / "ledger.sqlite.jobs").glob("*.approve"))


def test_one_plans_approval_is_no_others(cli, manual, serving):
    first, second = waits(manual, serving, plan_of(manual)), waits(manual, serving, plan_of(manual, "second"))
    one_sentence(cli("jobs", "approve", manual.file, first[:7]), "8 digits or more")
    assert cli("jobs", "approve", manual.file, second).code == 0
    assert isinstance(join(manual, serving, plan_of(manual, "second")), JoinReply)
    waits(manual, serving, plan_of(manual))


def test_only_the_owner_of_the_key_can_decide(cli, manual, serving):
    """Another key in SITE.yaml's place signs something that the custodian does not take."""
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    other = manual.folder / "keys" / "other.pem"
    SigningKey.generate().save(other)
    manual.change("SITE.yaml", identity_key="keys/other.pem")
    cli("jobs", "approve", manual.file, name)
    assert join(manual, serving, plan).code == "approval"
    manual.change("SITE.yaml", identity_key="keys/identity.pem")
    one_sentence(cli("jobs", "list", manual.file), "not signed with this site's identity key")


def test_a_kept_plan_that_was_changed_is_not_shown_for_approval(cli, manual, serving):
    plan = plan_of(manual)
    name = waits(manual, serving, plan)
    path = manual.folder / "ledger.sqlite.jobs" / f"{name}.plan"
    path.write_bytes(path.read_bytes().replace(b'"first"', b'"other"'))
    one_sentence(cli("jobs", "approve", manual.file, name), "another one")
    assert plan_digest(path.read_bytes()) != plan.digest()


def test_control_characters_of_a_reason_do_not_reach_the_console(cli, manual, serving):
    name = waits(manual, serving, plan_of(manual))
    cli("jobs", "approve", manual.file, name, "--reason", "fine\x1b[2J\nplan 0000: approved")
    shown = cli("jobs", "show", manual.file, name).out
    assert "\x1b" not in shown
    assert "\nplan 0000" not in shown


def test_a_forecast_leaves_a_waiting_plan_where_it_waits(manual, serving, cli, tmp_path):
    plan = plan_of(manual)
    waits(manual, serving, plan)
    listed = cli("jobs", "list", manual.file).out
    assert "waiting" in listed
    (tmp_path / "plan.json").write_bytes(plan.to_bytes())
    said = cli("ledger", "simulate", manual.file, tmp_path / "plan.json")
    assert said.code == 0
    assert "nothing was written" in said.out
    assert cli("jobs", "list", manual.file).out == listed


def test_a_mixed_ledger_is_told_what_a_plan_costs_in_its_own_unit(cli, site):
    """At one Renyi order also plain Gaussian noise costs more than its exact epsilon: that is what the budget pays."""
    site.change("policy.yaml", approval="manual")
    assert cli("ledger", "open", site.file, "--mode", "mixed").code == 0
    file = load_site_file(site.file)
    own = load_site(file)
    with Ledger.open(file.ledger, own.key) as ledger:
        order = ledger.account.accountant.order
        plan = plan_of(site, renyi_order=order)
        name = waits(site, Custodian(own, ledger), plan)
        cost = planned_cost(plan, "bank", ledger.account.accountant)
        charged = ledger.account.accountant.epsilon(cost, plan.privacy.delta)
    assert f"epsilon {at_most(charged, 4)} of this bank's budget" in cli("jobs", "list", site.file).out
    assert f"cost to this institution: epsilon {at_most(charged, 4)} of 2.0" in cli("jobs", "show", site.file, name).out
    assert "set aside: epsilon 0.0000 of" in cli("jobs", "list", site.file).out


def test_what_a_plan_takes_of_the_budget_is_said_at_the_budgets_delta(cli, manual, serving):
    """A plan at a larger delta than the policy's states a smaller epsilon for the same messages."""
    plan = plan_of(manual, delta=1e-4)
    name = waits(manual, serving, plan)
    accountant = serving.ledger.account.accountant
    cost = planned_cost(plan, "bank", accountant)
    assert accountant.epsilon(cost, 1e-5) > 2.2
    listed = cli("jobs", "list", manual.file).out
    assert f"epsilon {at_most(accountant.epsilon(cost, 1e-5), 4)} of this bank's budget" in listed
    assert "epsilon 2.0000 of 2.0 planned, delta 0.0001" in cli("jobs", "show", manual.file, name).out


def test_show_says_what_a_plan_is_worth_against_whom(cli, manual, serving):
    name = waits(manual, serving, plan_of(manual))
    assert (
        "epsilon against outsiders not stated, the coordinator with 1 of the others 2.0000, with half of them 2.0000, "
        "with all of them 2.0000; all that one record adds becomes zero"
    ) in " ".join(cli("jobs", "show", manual.file, name).out.split())
