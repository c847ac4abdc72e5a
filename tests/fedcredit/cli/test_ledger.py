"""``fedcredit ledger``: opened once, from the policy; shown to its owner only."""

import json
import sqlite3
from fractions import Fraction

import pytest

from fedcredit.cli.ledger_reports import _company
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.plan import EvaluationTerms
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.privacy import gdp
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.printed import at_least, at_most, at_most_digits
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import NO_TRANSCRIPT, Contribution, JoinReply, JoinRequest, Role, RoundRequest
from tests import tiny

PURPOSE = "joint credit scorecard (simulation)"


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def budget(site):
    with Ledger.open(site.folder / "ledger.sqlite", site.key()) as ledger:
        return ledger.account


def plan_of(site, epsilon=2.0, delta=1e-5):
    file = load_site_file(site.file)
    request = JobRequest(
        job="first",
        purpose=PURPOSE,
        coordinator="coordinator",
        coordinator_key=site.coordinator.public,
        roster=load_roster(file.roster),
        privacy=tiny.LOCAL.model_copy(update={"epsilon": epsilon, "delta": delta, "masks": False}),
        shares=BudgetShares(),
        model=tiny.spec().model,
        evaluation=EvaluationTerms(score_bins=10),
        evaluation_percent=20,
    )
    return make_plan(request, tiny.dictionary())


def join_and_answer_once(site, delta=1e-5):
    """What a job does to a ledger: a plan is joined and its first message is sent."""
    file = load_site_file(site.file)
    own, plan = load_site(file), plan_of(site, delta=delta)
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
    assert words[-1] == ["charge", job, "preflight", "1", "1", at_most_digits(cost), "2"]
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


def test_show_reads_beside_a_running_custodian(cli, site):
    cli("ledger", "open", site.file)
    with Ledger.open(site.folder / "ledger.sqlite", site.key()) as ledger:
        for number in range(3):
            ledger.note("stop", {"number": number})
            shown = cli("ledger", "show", site.file)
            assert (shown.code, shown.out.count("stop")) == (0, number + 1)


def test_show_gives_the_three_epsilons_of_each_job(cli, site):
    cli("ledger", "open", site.file)
    plan = join_and_answer_once(site)
    document = json.loads(cli("ledger", "show", site.file, "--json").out)
    (job,) = document["jobs"]
    assert (document["epoch"], job["epoch"], job["open"], job["plan_hash"]) == (1, 1, True, plan.digest().hex())
    # Local noise without masks: nothing better is known of outsiders, and all that collude see the same vector.
    assert job["planned"]["outsider"] is None
    assert job["planned"]["coordinator_and_t"] == job["planned"]["all_others"] == pytest.approx(2, rel=1e-6)
    preflight = plan.phases.preflight
    cost = Fraction(preflight.sensitivity_squared["bank"], preflight.noise_variance["bank"])
    accountant = GaussianAccountant.for_target(4.0, 1e-5)
    assert job["spent"]["all_others"] == pytest.approx(accountant.epsilon(cost, 1e-5), rel=1e-9)
    assert document["epsilon_committed"] == pytest.approx(2, rel=1e-6)
    left = accountant.epsilon(accountant.budget - accountant.target(2.0, 1e-5), 1e-5)
    assert document["epsilon_left"] == pytest.approx(left, rel=1e-3)
    shown = cli("ledger", "show", site.file).out
    assert f"{at_most(job['spent']['all_others'])} / 2.000" in " ".join(shown.split())
    assert f"left for one more job: epsilon {at_least(document['epsilon_left'], 4)}" in shown


def test_verify_reads_a_ledger_and_its_export_and_says_what_it_checked(cli, site):
    cli("ledger", "open", site.file)
    join_and_answer_once(site)
    out = site.folder / "ledger.jsonl"
    assert cli("ledger", "export", site.file, "--out", out).code == 0
    one_sentence(cli("ledger", "export", site.file, "--out", out), "exists already")
    public = site.key().public.hex()
    for path in (out, site.folder / "ledger.sqlite"):
        for pin in ((), ("--key", public)):
            ran = cli("ledger", "verify", path, *pin)
            assert ran.code == 0, ran.err
            assert "4 events" in ran.out
            assert public in ran.out
            assert ("give --key" in ran.out) == (not pin)
            assert "1 charges cost what their mechanisms cost" in ran.out
        one_sentence(cli("ledger", "verify", path, "--key", "11" * 32), "does not hold")
    assert "1 stored messages" in cli("ledger", "verify", site.folder / "ledger.sqlite").out
    one_sentence(cli("ledger", "verify", out, "--key", "abc"), "no public key")
    one_sentence(cli("ledger", "verify", site.folder / "none"), "does not exist")


def test_an_export_holds_no_message_and_no_id(cli, site):
    cli("ledger", "open", site.file)
    join_and_answer_once(site)
    out = site.folder / "ledger.jsonl"
    cli("ledger", "export", site.file, "--out", out)
    connection = sqlite3.connect(site.folder / "ledger.sqlite")
    messages = [row[0] for row in connection.execute("SELECT message FROM event WHERE message IS NOT NULL")]
    ((hashes,),) = connection.execute("SELECT hashes FROM unit")
    connection.close()
    assert len(messages) == 2
    assert len(hashes) == 300 * 16
    text = out.read_bytes()
    assert len(text) < 10_000
    assert not any(part.hex().encode() in text or part in text for part in (*messages, hashes[:16]))


def test_verify_names_the_first_event_that_was_changed(cli, site):
    cli("ledger", "open", site.file)
    join_and_answer_once(site)
    out = site.folder / "ledger.jsonl"
    cli("ledger", "export", site.file, "--out", out)
    lines = out.read_text().splitlines()
    cut = lines[:-1]
    swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]
    cheaper = [*lines[:4], lines[4].replace('"attempt":1', '"attempt":2')]
    unsigned = [lines[0].replace('"event_count":4', '"event_count":3'), *cut[1:]]
    for changed, words in (
        (cut, "does not end"),
        (swapped, "event 3"),
        (cheaper, "event 4"),
        (unsigned, "not what was signed"),
        ([*lines[:3], "{", *lines[4:]], "line 4"),
    ):
        assert changed != lines
        out.write_text("\n".join(changed) + "\n")
        one_sentence(cli("ledger", "verify", out), words)


def test_simulate_says_what_a_plan_would_cost_and_writes_nothing(cli, site):
    cli("ledger", "open", site.file)
    plan = plan_of(site)
    path = site.folder / "plan.json"
    path.write_bytes(plan.to_bytes())
    before = (site.folder / "ledger.sqlite").read_bytes()
    document = json.loads(cli("ledger", "simulate", site.file, path, "--json").out)
    assert document["refused"] is None
    assert set(document["costs"]) == {"preflight", "train", "evaluate", "reserve for retries"}
    assert document["planned"]["all others"] == pytest.approx(2, rel=1e-6)
    assert document["left"][0] == pytest.approx(4, rel=1e-6)
    assert (site.folder / "ledger.sqlite").read_bytes() == before
    join_and_answer_once(site)
    shown = json.loads(cli("ledger", "show", site.file, "--json").out)
    assert shown["epsilon_left"] == pytest.approx(document["left"][1])
    assert json.loads(cli("ledger", "simulate", site.file, path, "--json").out)["joined_already"]
    said = cli("ledger", "simulate", site.file, path).out
    assert "joined already" in said
    assert "nothing was written" in said


def test_simulate_names_the_rule_that_would_refuse(cli, site):
    cli("ledger", "open", site.file)
    path = site.folder / "plan.json"
    path.write_bytes(plan_of(site, epsilon=3.9).to_bytes())
    assert json.loads(cli("ledger", "simulate", site.file, path, "--json").out)["refused"] is None
    join_and_answer_once(site)
    assert json.loads(cli("ledger", "simulate", site.file, path, "--json").out)["refused"]["code"] == "budget"
    site.change("policy.yaml", purposes=["another purpose"])
    assert "refused, purpose" in cli("ledger", "simulate", site.file, path).out
    one_sentence(cli("ledger", "simulate", site.file, site.folder / "none.json"), "plan's file")


def test_an_epoch_is_for_new_units_only(cli, site):
    cli("ledger", "open", site.file)
    plan = join_and_answer_once(site)
    one_sentence(cli("ledger", "epoch", site.file), "a job is open")
    cli("ledger", "close", site.file, plan.digest().hex()[:8])
    one_sentence(cli("ledger", "epoch", site.file), "hold units of an earlier epoch")
    rows = (site.folder / "rows.csv").read_text().splitlines()
    kept = [rows[0], *(f"9{line}" for line in rows[1:])]  # 9… ids: 90 to 99 and others below 300 are not among them
    old = {line.split(",")[0] for line in rows[1:]}
    kept = [kept[0], *(line for line in kept[1:] if line.split(",")[0] not in old)]
    assert len(kept) > 200
    (site.folder / "rows.csv").write_text("\n".join([*kept, rows[1]]) + "\n")
    one_sentence(cli("ledger", "epoch", site.file), "hold units of an earlier epoch")
    (site.folder / "rows.csv").write_text("\n".join(kept) + "\n")
    key = (site.folder / "keys" / "data.key").read_text()
    (site.folder / "keys" / "data.key").write_text("ab" * 32)
    one_sentence(cli("ledger", "epoch", site.file), "data key is another one")
    (site.folder / "keys" / "data.key").write_text(key)
    ran = cli("ledger", "epoch", site.file)
    assert (ran.code, ran.err) == (0, "")
    shown = cli("ledger", "show", site.file).out
    assert "epoch 2" in shown
    assert "epsilon 0.0000 of 4.0" in shown


@pytest.mark.timeout(60)
def test_serve_refuses_units_of_an_earlier_epoch_before_anybody_asks(cli, site):
    cli("ledger", "open", site.file)
    plan = join_and_answer_once(site)
    cli("ledger", "close", site.file, plan.digest().hex()[:8])
    rows = (site.folder / "rows.csv").read_text()
    (site.folder / "rows.csv").write_text(rows.replace("\n", "\nx").removesuffix("x"))
    assert cli("ledger", "epoch", site.file).code == 0
    (site.folder / "rows.csv").write_text(rows)
    one_sentence(cli("custodian", "serve", site.file), "units of an earlier epoch")


def test_a_restored_backup_is_refused_until_its_loss_is_charged(cli, site):
    (site.folder / "elsewhere").mkdir()
    site.change("SITE.yaml", ledger_counter="elsewhere/count")
    cli("ledger", "open", site.file)
    backup = (site.folder / "ledger.sqlite").read_bytes()
    assert not (site.folder / "ledger.sqlite.count").exists()
    one_sentence(cli("ledger", "recover", site.file, "--lost-epsilon", "1"), "not rolled back")
    file = load_site_file(site.file)
    with Ledger.open(file.ledger, site.key(), file.ledger_counter) as ledger:
        for _ in range(5):
            ledger.note("stop", {})
    (site.folder / "ledger.sqlite").write_bytes(backup)
    assert cli("ledger", "show", site.file).code == 0  # nothing in the chain can tell
    one_sentence(cli("ledger", "close", site.file, "00"), "rolled back", "it has 1 events and had 6")
    ran = cli("ledger", "recover", site.file, "--lost-epsilon", "1.5")
    assert (ran.code, ran.err) == (0, "")
    assert "epsilon 1.5000 of 4.0" in cli("ledger", "show", site.file).out
    one_sentence(cli("ledger", "recover", site.file, "--lost-epsilon", "1"), "not rolled back")
    with Ledger.open(file.ledger, site.key(), file.ledger_counter) as ledger:
        assert ledger.event_count == 7
    assert cli("ledger", "verify", file.ledger).code == 0


def test_a_loss_is_charged_at_the_delta_at_which_its_epsilon_was_stated(cli, site):
    """A plan's delta may be larger than the policy's: charged at the smaller one, a part of the loss would be free."""
    cli("ledger", "open", site.file)
    backup = (site.folder / "ledger.sqlite").read_bytes()
    plan = join_and_answer_once(site, delta=1e-4)
    file, kept = load_site_file(site.file), site.folder / "ledger.sqlite"
    with Ledger.read(kept, site.key().public) as ledger:
        lost, accountant = ledger.job(plan.digest()).spent, ledger.account.accountant
    stated = accountant.epsilon(lost, 1e-4)  # as a receipt says it
    kept.write_bytes(backup)
    one_sentence(cli("ledger", "recover", site.file, "--lost-epsilon", "1", "--at-delta", "2"), "delta must lie")
    ran = cli("ledger", "recover", site.file, "--lost-epsilon", at_most(stated, 6), "--at-delta", "1e-4")
    assert (ran.code, ran.err) == (0, "")
    with Ledger.read(kept, site.key().public) as ledger:
        assert lost <= ledger.committed() <= lost * Fraction(101, 100)
    assert accountant.target(stated, load_policy(file.policy).delta) < lost * Fraction(9, 10)


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
