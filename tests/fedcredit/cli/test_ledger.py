"""``fedcredit ledger``: opened once, from the policy; shown to its owner only."""

import sqlite3
from fractions import Fraction

import pytest

from fedcredit.cli.ledger import _company
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.plan import EvaluationTerms
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.privacy import gdp
from fedcredit.privacy.ledger import Ledger
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import NO_TRANSCRIPT, Contribution, JoinReply, JoinRequest, Role, RoundRequest
from tests import tiny


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def budget(site):
    with Ledger.open(site.folder / "ledger.sqlite", site.key()) as ledger:
        return ledger.account


def join_and_answer_once(site):
    """What a job does to a ledger: a plan is joined and its first message is sent."""
    file = load_site_file(site.file)
    own = load_site(file)
    request = JobRequest(
        job="first",
        purpose=own.policy.purposes[0],
        coordinator="coordinator",
        coordinator_key=site.coordinator.public,
        roster=load_roster(file.roster),
        privacy=tiny.LOCAL.model_copy(update={"epsilon": 2.0, "masks": False}),
        shares=BudgetShares(),
        model=tiny.spec().model,
        evaluation=EvaluationTerms(score_bins=10),
        evaluation_percent=20,
    )
    plan = make_plan(request, own.dictionary)
    with Ledger.open(file.ledger, own.key) as ledger:
        custodian = Custodian(own, ledger)
        first = RoundRequest(plan.digest(), Role.PREFLIGHT, 1, 1, plan.members, b"", NO_TRANSCRIPT)
        for message, expected in ((JoinRequest(plan.to_bytes()), JoinReply), (first, Contribution)):
            reply = open_envelope(custodian.handle(site.coordinator.seal("coordinator", message)))
            assert isinstance(reply.verify(own.key.public), expected)
    return plan


def test_open_takes_the_budget_from_the_policy(cli, site):
    ran = cli("ledger", "open", site.file)
    assert (ran.code, ran.err) == (0, "")
    assert "bank-1-cards" in ran.out
    assert (site.folder / "ledger.sqlite").stat().st_mode & 0o777 == 0o600
    account = budget(site)
    assert (account.population, account.unit, account.accountant.mode) == ("bank-1-cards", "record", "gaussian")
    # Less than the whole budget by what the integer sampler takes of delta, and by no more.
    whole = gdp.budget_mu_squared(4.0, 1e-5)
    assert 0.999 * whole < account.accountant.budget <= whole


def test_open_counts_persons_where_the_policy_does(cli, site):
    site.change("policy.yaml", unit="person", max_records_per_person=2)
    assert cli("ledger", "open", site.file).code == 0
    assert budget(site).unit == "person"


def test_open_mixed_can_pay_for_sampled_jobs(cli, site):
    assert cli("ledger", "open", site.file, "--mode", "mixed").code == 0
    assert budget(site).accountant.mode == "mixed"


def test_open_without_a_policy_promises_nothing(cli, site):
    site.change("SITE.yaml", policy=None, not_private={"declared": "synthetic"})
    assert cli("ledger", "open", site.file).code == 0
    assert budget(site).accountant.mode == "not_private"


def test_a_ledger_is_never_opened_twice(cli, site):
    assert cli("ledger", "open", site.file).code == 0
    before = (site.folder / "ledger.sqlite").read_bytes()
    one_sentence(cli("ledger", "open", site.file), "exists already")
    assert (site.folder / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({}, ["--mode", "bogus"], "gaussian or mixed"),
        ({"ledger": "nowhere/ledger.sqlite"}, [], "create it"),
        ({"policy": "none.yaml"}, [], "without a policy everything is refused"),
        ({"identity_key": "none.pem"}, [], "custodian keygen"),
    ],
)
def test_what_cannot_be_opened_leaves_nothing(cli, site, changes, arguments, words):
    site.change("SITE.yaml", **changes)
    one_sentence(cli("ledger", "open", site.file, *arguments), words)
    assert not list(site.folder.rglob("*.sqlite*"))


def test_show_lists_what_left_and_what_is_set_aside(cli, site):
    cli("ledger", "open", site.file)
    empty = cli("ledger", "show", site.file)
    assert empty.code == 0
    assert "epsilon 0.0000 of 4.0 at delta 1e-05" in empty.out
    plan = join_and_answer_once(site)
    shown = cli("ledger", "show", site.file)
    assert shown.code == 0
    table = shown.out[: shown.out.index("population")]
    words = [line.split() for line in table.splitlines() if line.split() and "─" not in line][1:]
    job = plan.digest().hex()[:16]
    preflight = plan.phases.preflight
    cost = float(Fraction(preflight.sensitivity_squared["bank"], preflight.noise_variance["bank"]))
    assert [row[0] for row in words] == ["open", "join", "epoch", "charge"]
    assert words[-1] == ["charge", job, "preflight", "1", "1", f"{cost:.3g}", "2"]
    # The whole job is set aside at join, and no message changes that.
    assert "population bank-1-cards, unit record, mode gaussian" in shown.out
    assert "epsilon 2.0000 of 4.0" in shown.out


def test_closing_an_abandoned_job_frees_what_it_never_spent(cli, site):
    cli("ledger", "open", site.file)
    plan = join_and_answer_once(site)
    one_sentence(cli("ledger", "close", site.file, "0123456789abcdef"), "0 open jobs")
    closed = cli("ledger", "close", site.file, plan.digest().hex()[:8])
    assert closed.code == 0
    assert plan.digest().hex()[:16] in closed.out
    shown = cli("ledger", "show", site.file).out
    assert "epsilon 2.0000 of 4.0" not in shown
    assert "epsilon 0.0000 of 4.0" not in shown
    one_sentence(cli("ledger", "close", site.file, plan.digest().hex()[:8]), "0 open jobs")


def test_show_needs_a_ledger(cli, site):
    one_sentence(cli("ledger", "show", site.file), "ledger open")


def test_show_refuses_a_changed_ledger(cli, site):
    cli("ledger", "open", site.file)
    join_and_answer_once(site)
    connection = sqlite3.connect(site.folder / "ledger.sqlite")
    moved = "CAST(replace(CAST(body AS TEXT), '\"attempt\":1', '\"attempt\":2') AS BLOB)"
    changed = connection.execute(f"UPDATE event SET body = {moved}, attempt = 2 WHERE kind = 'charge'")
    assert changed.rowcount == 1
    connection.commit()
    connection.close()
    one_sentence(cli("ledger", "show", site.file), "newest backup")


def test_show_refuses_what_is_no_ledger(cli, site):
    (site.folder / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    one_sentence(cli("ledger", "show", site.file), "damaged")


def test_show_refuses_a_ledger_in_use(cli, site):
    cli("ledger", "open", site.file)
    with Ledger.open(site.folder / "ledger.sqlite", site.key()):
        one_sentence(cli("ledger", "show", site.file), "in use")


def test_show_names_who_was_left_out_of_a_sum(cli, site):
    """Sums over varying members are how a coordinator would single an institution out."""
    cli("ledger", "open", site.file)
    plan = join_and_answer_once(site)
    event = {"event": "charge", "plan_hash": plan.digest().hex(), "members": ["bank-1"]}
    file = load_site_file(site.file)
    with Ledger.open(file.ledger, load_site(file).key) as ledger:
        assert _company(ledger, event) == f"1, without {plan.members[1]}"
        assert _company(ledger, {**event, "members": list(plan.members)}) == "2"
        assert _company(ledger, {"event": "open"}) == ""
