"""Peers as witnesses: what a custodian remembers of others' ledgers, and what it takes to go on with its own.

The ledgers are real; a backup is SQLite's own copy of one.
"""

from dataclasses import replace

import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.errors import JobError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.heads import Head, read_head, sign_head
from fedcredit.wire.messages import Contribution, JoinRequest, KeysReply, KeysRequest, Role
from tests import privacy_checks as checks
from tests import tiny
from tests.privacy_checks import ask, refused, round_request


@pytest.fixture
def consortium():
    return tiny.federation()


@pytest.fixture
def bank(consortium):
    return checks.joined(consortium, tiny.spec())


def first_request(consortium, bank, *witnesses, heads=()):
    pairs = checks.pairs_of(bank, consortium.plan.digest())
    request = replace(round_request(consortium, Role.PREFLIGHT, b""), transcript_hash=pairs.transcript.digest)
    return replace(request, witnesses=witnesses, heads=tuple(heads))


def reply_of(consortium, bank, heads=()):
    digest = checks.pairs_of(bank, consortium.plan.digest()).transcript.digest
    return KeysReply(consortium.plan.digest(), digest, tuple(heads))


def said(consortium, name, reply):
    return consortium.keys[name].seal(name, reply)


def sent_raw(consortium, bank, request):
    reply = open_envelope(bank.handle(consortium.coordinator_key.seal("coordinator", request)))
    return reply.verify(consortium.keys[bank.institution].public)


def own_head(consortium, bank):
    ledger = bank.ledger
    signature = sign_head(consortium.keys["bank-1"], "bank-1", ledger.event_count, ledger.head_hash)
    return Head("bank-1", ledger.event_count, ledger.head_hash, signature).encode()


def invented(consortium, count, key=None):
    signature = sign_head(key or consortium.keys["bank-1"], "bank-1", count, b"x" * 32)
    return Head("bank-1", count, b"x" * 32, signature).encode()


def test_two_others_must_have_signed_the_same_joins(consortium, bank):
    """t = 1: one of any two others is honest."""
    reply = reply_of(consortium, bank)
    true = {name: said(consortium, name, reply) for name in consortium.plan.members}
    other_joins = replace(reply, transcript_hash=bytes(32))
    few = [
        (),
        (true["bank-2"],),
        (true["bank-2"], true["bank-2"]),  # twice the same
        (true["bank-1"], true["bank-2"]),  # our own word counts for nothing
        (true["bank-2"], said(consortium, "hospital-1", other_joins)),
        (true["bank-2"], SigningKey.generate().seal("hospital-1", reply)),
        (true["bank-2"], SigningKey.generate().seal("stranger", reply)),
        (true["bank-2"], b"no envelope"),
    ]
    for witnesses in few:
        refused(sent_raw(consortium, bank, first_request(consortium, bank, *witnesses)), "witness")
    assert not bank.ledger.charges(consortium.plan.digest())
    enough = first_request(consortium, bank, true["bank-2"], true["hospital-1"])
    assert isinstance(sent_raw(consortium, bank, enough), Contribution)


def test_the_word_is_wanted_once_for_each_agreement_on_keys(consortium, bank):
    plan_hash = consortium.plan.digest()
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank))
    assert isinstance(sent_raw(consortium, bank, first_request(consortium, bank, *witnesses)), Contribution)
    assert isinstance(sent_raw(consortium, bank, replace(first_request(consortium, bank), attempt=2)), Contribution)
    again = checks.restarted(bank)
    ask(consortium, again, JoinRequest(consortium.plan.to_bytes()))
    checks.agree(consortium, tiny.spec(), again)
    assert checks.pairs_of(again, plan_hash).transcript != checks.pairs_of(bank, plan_hash).transcript
    refused(sent_raw(consortium, again, replace(first_request(consortium, again), attempt=3)), "witness")


def test_heads_that_the_ledger_holds_are_no_harm(consortium, bank):
    heads = [own_head(consortium, bank)]
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank), heads)
    assert isinstance(sent_raw(consortium, bank, first_request(consortium, bank, *witnesses)), Contribution)


@pytest.mark.parametrize("count", [1, 10_000])
def test_an_event_of_ours_that_our_ledger_lacks_stops_everything(consortium, bank, count):
    """A higher count, or another event under a count that the ledger has: the branch that a backup forgot."""
    shown = invented(consortium, count)
    witnesses = (
        said(consortium, "bank-2", reply_of(consortium, bank)),
        said(consortium, "hospital-1", reply_of(consortium, bank, [shown])),
    )
    refused(sent_raw(consortium, bank, first_request(consortium, bank, *witnesses)), "rolled-back")
    assert bank.ledger.rolled_back
    assert not bank.ledger.charges(consortium.plan.digest())
    honest = checks.witnesses(consortium, reply_of(consortium, bank))
    refused(sent_raw(consortium, bank, first_request(consortium, bank, *honest)), "rolled-back")
    again = checks.restarted(bank)  # it stands in the ledger
    refused(ask(consortium, again, JoinRequest(consortium.plan.to_bytes())), "rolled-back")


def test_nobody_else_can_make_up_a_head_of_ours(consortium, bank):
    made_up = [invented(consortium, 10_000, consortium.keys["hospital-1"]), b"nonsense"]
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank), made_up)
    assert isinstance(sent_raw(consortium, bank, first_request(consortium, bank, *witnesses)), Contribution)


def test_peers_heads_are_remembered_over_restarts_and_jobs(consortium, bank):
    signature = sign_head(consortium.keys["bank-2"], "bank-2", 99, b"y" * 32, witnessed=True)
    later = Head("bank-2", 99, b"y" * 32, signature)
    forged = Head("hospital-1", 98, b"y" * 32, sign_head(consortium.keys["bank-2"], "hospital-1", 98, b"y" * 32))
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank))
    request = first_request(consortium, bank, *witnesses, heads=[later.encode(), forged.encode(), b"nonsense"])
    assert isinstance(sent_raw(consortium, bank, request), Contribution)
    again = checks.restarted(bank)
    own = again.handle(consortium.coordinator_key.seal("coordinator", JoinRequest(consortium.plan.to_bytes())))
    shown = checks.agree(consortium, tiny.spec(), again)
    assert own in shown
    reply = ask(consortium, again, KeysRequest(consortium.plan.digest(), shown))
    known = {head.institution: head for head in map(read_head, reply.heads)}
    assert list(known) == list(consortium.plan.members)
    assert known["bank-2"] == later
    assert known["hospital-1"].event_count < 98


def test_a_head_of_a_join_is_never_taken_for_one_of_a_contribution(consortium, bank):
    """An older copy signs as many joins as it is asked for; its contributions wait for its peers."""
    name, key = "bank-2", consortium.keys["bank-2"]
    true = Head(name, 60, b"a" * 32, sign_head(key, name, 60, b"a" * 32, witnessed=True))
    outgrown = Head(name, 99, b"b" * 32, sign_head(key, name, 99, b"b" * 32))
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank))
    request = first_request(consortium, bank, *witnesses, heads=[true.encode()])
    assert isinstance(sent_raw(consortium, bank, request), Contribution)
    later = replace(request, attempt=2, heads=(outgrown.encode(),))
    assert isinstance(sent_raw(consortium, bank, later), Contribution)
    known = bank._agreements._heads.testimony(checks.pairs_of(bank, consortium.plan.digest()).transcript)
    assert true.encode() in known
    assert outgrown.encode() not in known


def test_a_process_set_back_with_its_ledger_meets_its_own_contribution(consortium, bank):
    """No keys are agreed on anew, and nobody is asked: the head of the last step is in the request."""
    witnesses = checks.witnesses(consortium, reply_of(consortium, bank))
    signature = sign_head(consortium.keys["bank-1"], "bank-1", 10_000, b"x" * 32, witnessed=True)
    own = Head("bank-1", 10_000, b"x" * 32, signature).encode()
    request = first_request(consortium, bank, *witnesses, heads=[own])
    refused(sent_raw(consortium, bank, request), "rolled-back")
    assert bank.ledger.rolled_back
    assert not bank.ledger.charges(consortium.plan.digest())


class Job:
    """A real job whose first bank is set back to a backup of its ledger at some step."""

    def __init__(self, consortium, folder):
        self.consortium, self.folder = consortium, folder
        self.members = tiny.custodians(consortium, tiny.spec(), folder)
        self.driver = tiny.coordinator(consortium)

    def run(self, until):
        tiny.run(self.driver, self.members, until)

    def backup(self):
        kept = Ledger(None, self.consortium.keys["bank-1"])
        self.members["bank-1"].ledger._connection.backup(kept._connection)
        return kept

    def restore(self, ledger):
        old = self.members["bank-1"]
        old.ledger.close()
        self.members["bank-1"] = Custodian(old._site, ledger)


@pytest.mark.parametrize("taken_before", ["preflight", "train"])
def test_in_a_job_an_old_ledger_leaves_and_the_others_go_on(tmp_path, taken_before):
    consortium = tiny.federation()
    job = Job(consortium, tmp_path)
    job.run(until=taken_before)
    kept = job.backup()
    while job.driver.progress.rounds_trained < 1:
        step = job.driver.next_step()
        job.driver.receive({name: job.members[name].handle(request) for name, request in step.requests.items()})
    lost = job.members["bank-1"].ledger.event_count - kept.event_count
    assert lost >= 1
    job.restore(kept)
    charged = len(kept.charges(consortium.plan.digest()))
    with pytest.raises(JobError, match="rolled-back"):  # three members: without one, masks hide nothing
        job.run(until=None)
    assert kept.rolled_back
    assert len(kept.charges(consortium.plan.digest())) == charged


def test_a_restart_on_the_right_ledger_goes_on(tmp_path):
    consortium = tiny.federation()
    job = Job(consortium, tmp_path)
    job.run(until="train")
    old = job.members["bank-1"]
    job.members["bank-1"] = Custodian(old._site, old.ledger)
    job.run(until=None)
    assert job.driver.done
    assert not old.ledger.rolled_back


def test_mutant_no_witness(monkeypatch, tmp_path):
    """Without witnesses the old ledger answers again, and the budget pays for less than was sent."""
    monkeypatch.setattr("fedcredit.custodian.agreements.guard_witnesses", lambda *_: None)
    monkeypatch.setattr("fedcredit.custodian.agreements.guard_own_heads", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_in_a_job_an_old_ledger_leaves_and_the_others_go_on(tmp_path, "train")
