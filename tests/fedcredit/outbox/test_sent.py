"""What left, from the trail and the ledger of a bank that is really served."""

from dataclasses import replace

import pytest

from fedcredit.audit import allowance
from fedcredit.audit.reading import lines_of
from fedcredit.errors import LedgerError
from fedcredit.outbox.sent import State, sent_messages
from fedcredit.outbox.stored import stored_messages
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Contribution, IdentifyRequest, Receipt, Refusal


@pytest.fixture
def outbox(bank):
    """What `fedcredit sent` reads, as it stands when it is called."""

    def read(lines=None):
        lines = list(lines_of(bank.trail)) if lines is None else lines
        with Ledger.read(bank.site.folder / "ledger.sqlite", bank.site.key().public) as ledger:
            return sent_messages(stored_messages(ledger), lines)

    return read


def told(found):
    return [(one.kind, one.state.name, one.charged) for one in found]


def test_a_whole_job_in_the_order_in_which_it_left(bank, outbox):
    serving = bank.start()
    request = bank.sealed(bank.preflight())
    bank.ask(serving, IdentifyRequest(bytes(32)))
    bank.ask(serving, bank.join)
    sent = serving.handle(request)
    serving.handle(request)
    bank.ask(serving, bank.preflight(99))
    bank.ask(serving, bank.release)
    found = outbox()
    assert told(found) == [
        ("identify_reply", "SENT", False),
        ("join_reply", "SENT", False),
        ("contribution", "SENT", True),
        ("contribution", "AGAIN", False),
        ("refusal", "SENT", False),
        ("receipt", "SENT", True),
    ]
    assert [one.number for one in found] == [1, 2, 3, 4, 5, 6]
    assert {(one.to, one.proved) for one in found} == {("coordinator", True)}
    assert [one.at for one in found] == [line.values["at"] for line in bank.lines()[1:]]
    assert found[4].code == "attempt"
    first = found[2]
    assert (first.role, first.round, first.attempt, first.plan_hash) == ("preflight", 1, 1, bank.plan.digest().hex())
    assert first.stored.size == len(sent)
    assert first.stored.reply_hash == digest("audit-reply", sent).hex()
    assert isinstance(first.stored.message, Contribution)
    assert isinstance(found[5].stored.message, Receipt)
    assert [one.stored is None for one in found] == [True, True, False, False, True, False]


def test_each_message_has_its_cost_and_the_epsilon_of_all_up_to_it(bank, outbox):
    serving = bank.start()
    for message in (bank.join, bank.preflight(), bank.preflight(2)):
        bank.ask(serving, message)
    ledger, delta = serving.ledger, bank.plan.privacy.delta
    accountant = ledger.account.accountant
    first, second = (one.stored for one in outbox() if one.stored is not None)
    assert first.cost == second.cost == ledger.job(bank.plan.digest()).spent / 2
    assert first.epsilon == first.epsilon_so_far == accountant.epsilon(first.cost, delta)
    assert second.epsilon_so_far == accountant.epsilon(2 * first.cost, delta) > second.epsilon > 0


def test_who_is_not_proved_is_said(bank, outbox):
    serving = bank.start()
    serving.handle(b"noise")
    serving.handle(bank.sealed(bank.join, SigningKey.generate()))
    stranger, forger = outbox()
    assert (stranger.kind, stranger.to, stranger.code, stranger.proved) == ("refusal", None, "wire", False)
    assert (forger.kind, forger.to, forger.code, forger.proved) == ("refusal", "coordinator", "signature", False)


def test_what_a_crash_kept_back_was_charged_and_did_not_leave_until_it_was_asked_for_again(bank, outbox):
    serving = bank.start()
    bank.ask(serving, bank.join)
    serving.handle(bank.sealed(bank.preflight()))
    lines = bank.trail.read_bytes().splitlines(keepends=True)
    bank.trail.write_bytes(b"".join(lines[:-1]))
    again = bank.start()
    assert told(outbox())[1:] == [("contribution", "KEPT_BACK", True)]
    assert not outbox()[-1].left
    again.handle(bank.sealed(bank.preflight()))
    assert told(outbox())[1:] == [("contribution", "KEPT_BACK", True), ("contribution", "SENT", False)]


def test_of_a_line_that_came_too_late_a_refusal_left(bank, outbox):
    serving = bank.start()
    bank.ask(serving, bank.join)
    held = bank.trail.read_bytes()
    bank.trail.write_bytes(held + b"somebody else's\n")
    for _ in range(2):
        assert isinstance(bank.ask(serving, bank.preflight()), Refusal)
    bank.trail.write_bytes(held)
    bank.ask(serving, bank.preflight())
    assert told(outbox())[1:] == [
        ("refusal", "SENT", False),
        ("contribution", "KEPT_BACK", True),
        ("refusal", "COUNTED", False),
        ("contribution", "SENT", False),
    ]
    assert outbox()[1].code == "audit"


def test_replies_without_a_line_of_their_own_are_counted(bank, outbox, monkeypatch):
    monkeypatch.setattr(allowance, "BURST", 1)
    serving = bank.start()
    for _ in range(4):
        bank.ask(serving, IdentifyRequest(bytes(32)))
    bank.ask(serving, bank.join)
    assert [(one.kind, one.count) for one in outbox()] == [
        ("identify_reply", 1),
        ("identify_reply", 3),
        ("join_reply", 1),
    ]


def test_a_message_from_before_the_trail_is_listed_without_a_time(bank, outbox):
    serving = bank.start()
    for message in (bank.join, bank.preflight()):
        bank.ask(serving, message)
    bank.end()
    bank.trail.unlink()
    bank.start()
    (one,) = outbox()
    assert (one.kind, one.state, one.at, one.to, one.charged) == ("contribution", State.UNKNOWN, None, None, True)
    assert told(outbox([])) == [("contribution", "UNKNOWN", True)]


def test_other_bytes_than_the_ledger_keeps_are_an_error(bank, outbox):
    serving = bank.start()
    for message in (bank.join, bank.preflight()):
        bank.ask(serving, message)
    *before, last = bank.lines()
    forged = replace(last, values=last.values | {"reply_hash": "00" * 32})
    with pytest.raises(LedgerError, match="not the one that the ledger keeps"):
        outbox([*before, forged])


def test_a_job_that_its_operator_closed_has_no_receipt(bank, outbox, cli):
    bank.ask(bank.start(), bank.join)
    bank.end()
    assert cli("ledger", "close", bank.site.file, bank.plan.digest().hex()[:12]).code == 0
    assert told(outbox()) == [("join_reply", "SENT", False)]
