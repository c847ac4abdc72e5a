"""The audit trail: what stands in it, what a crash or a hand leaves of it, and that nothing leaves without it."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import pytest

from fedcredit.audit import allowance, trail_file
from fedcredit.audit.reading import charged, check
from fedcredit.audit.trail_file import TrailFile, set_aside
from fedcredit.custodian.custodian import Custodian
from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey, envelope_hash, open_envelope
from fedcredit.wire.messages import Contribution, IdentifyRequest, Receipt, Refusal
from tests import tiny

IDENTIFY = IdentifyRequest(bytes(32))


@pytest.fixture
def serving(bank):
    """The custodian after join and preflight."""
    custodian = bank.start()
    bank.ask(custodian, bank.join)
    assert isinstance(bank.ask(custodian, bank.preflight()), Contribution)
    return custodian


def test_every_request_and_decision_has_a_line(bank, serving):
    bank.ask(serving, bank.preflight())
    bank.ask(serving, bank.preflight(), SigningKey.generate())
    serving.handle(b"no message")
    bank.ask(serving, bank.release)
    serving.stopped()
    assert bank.said("event", "kind", "sender", "proved", "decision", "code") == [
        ("start", None, None, None, None, None),
        ("request", "join_request", "coordinator", True, "answered", None),
        ("request", "round_request", "coordinator", True, "answered", None),
        ("request", "round_request", "coordinator", True, "resent", None),
        ("request", "round_request", "coordinator", False, "refused", "signature"),
        ("request", "unreadable", None, False, "refused", "wire"),
        ("request", "release_request", "coordinator", True, "answered", None),
        ("stop", None, None, None, None, None),
    ]


def test_a_request_that_waited_for_its_turn_during_a_stop_is_refused_and_nothing_follows_the_last_line(bank, serving):
    serving.stopped()
    whole, events = bank.trail.read_bytes(), serving.ledger.event_count
    for asked in (bank.join, bank.preflight(2), bank.release):
        assert bank.ask(serving, asked).code == "audit"
    assert serving.ledger.event_count == events
    serving.ledger.close()
    assert bank.ask(serving, bank.preflight(2)).code == "audit"
    assert bank.trail.read_bytes() == whole
    assert bank.said("event")[-1] == ("stop",)


def test_a_line_names_request_place_and_reply(bank, serving):
    again = serving.handle(bank.sealed(bank.preflight()))
    values = bank.lines()[-1].values
    assert values["request_hash"] == envelope_hash(bank.sealed(bank.preflight())).hex()
    assert values["reply_hash"] == digest("audit-reply", again).hex()
    assert values["plan_hash"] == bank.plan.digest().hex()
    assert (values["role"], values["round"], values["attempt"]) == ("preflight", 1, 1)


def test_charges_and_releases_stand_beside_the_requests_that_caused_them(bank, serving):
    bank.ask(serving, bank.release)
    events = {event["event"]: event for line in bank.lines() for event in charged(line)}
    job = serving.ledger.job(bank.plan.digest())
    (charge,) = serving.ledger.charges(bank.plan.digest())
    assert Fraction(events["join"]["reserved"]) == job.reserved
    assert events["charge"]["cost"] == charge["cost"]
    assert Fraction(events["close"]["released"]) == job.reserved - job.spent
    assert [line.values["ledger"]["events"] for line in bank.lines()] == [1, 3, 4, 5]


def test_no_sum_and_nothing_else_of_a_record_stands_there(bank, serving):
    bank.ask(serving, bank.release)
    about = {"at", "event", "number", "previous", "version", "data_fingerprint", "public_key", "ledger"}
    request = {"kind", "sender", "proved", "decision", "code", "request_hash", "reply_hash"}
    place = {"plan_hash", "role", "round", "attempt"}
    ledger = {"events", "head", "new", "hash", "cost", "reserved", "released", "spent", "epoch"}
    # An epoch event has keys as well; a join's terms, units and data key stay in the ledger.
    assert set(_names(bank.lines())) == about | request | place | ledger
    assert bank.trail.stat().st_mode & 0o077 == 0


def _names(lines):
    def names(value):
        if isinstance(value, dict):
            yield from value
            for one in value.values():
                yield from names(one)
        elif isinstance(value, list):
            for one in value:
                yield from names(one)

    return [name for line in lines for name in names(line.values)]


def test_a_start_says_version_and_data(bank, serving):
    start = bank.lines()[0].values
    assert serving._site.data.fingerprint.hex().startswith(start["data_fingerprint"])
    assert len(start["data_fingerprint"]) == 16
    assert check(bank.trail, bank.site.key().public).lines == 3


def test_a_simulated_custodian_has_none():
    consortium = tiny.federation()
    custodian = tiny.custodians(consortium, tiny.spec())["bank-1"]
    custodian.stopped()
    assert custodian._site.audit_trail is None


# --- crashes


def test_a_torn_last_line_is_cut_off_and_said(bank, serving):
    whole = bank.trail.read_bytes()
    bank.trail.write_bytes(whole[:-40])
    bank.start()
    torn = bank.trail.with_name(bank.trail.name + ".torn")
    assert torn.read_bytes() == whole[:-40].splitlines()[-1] + b"\n"
    assert torn.stat().st_mode & 0o077 == 0
    # The charge whose line was torn is named again.
    assert [event for (event,) in bank.said("event")] == ["start", "request", "torn", "recovered", "start"]
    assert [event["event"] for event in charged(bank.lines()[3])] == ["charge"]
    assert check(bank.trail, bank.site.key().public).torn_bytes == 0


def test_a_trail_that_is_one_torn_line(bank):
    bank.trail.write_bytes(b'{"entry":')
    bank.start()
    assert bank.said("event", "bytes") == [("torn", 9), ("start", None)]


def test_an_event_without_a_line_is_named_at_the_next_start(bank, serving):
    """A kill between the ledger's commit and the line."""
    lines = bank.trail.read_bytes().splitlines(keepends=True)
    bank.trail.write_bytes(b"".join(lines[:-1]))
    bank.start()
    recovered = bank.lines()[-2]
    assert recovered.values["event"] == "recovered"
    assert [(event["event"], event["role"], event["number"]) for event in charged(recovered)] == [
        ("charge", "preflight", 4)
    ]


def test_what_an_operator_did_to_the_ledger_is_named_too(bank, serving, cli):
    bank.end()
    assert cli("ledger", "close", bank.site.file, bank.plan.digest().hex()[:12]).code == 0
    bank.start()
    assert [event["event"] for event in charged(bank.lines()[-2])] == ["close"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0], lines[1].replace(b"answered", b"refused!"), lines[2]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [*lines, lines[2]],
        lambda lines: [lines[0], b"{}\n", *lines[1:]],
        lambda lines: [*lines[:2], _signed_by_another(lines[2])],
    ],
    ids=["changed", "removed", "out of order", "twice", "inserted", "signed by another"],
)
def test_a_trail_that_does_not_hold_stops_the_custodian(bank, serving, spoil):
    bank.trail.write_bytes(b"".join(spoil(bank.trail.read_bytes().splitlines(keepends=True))))
    with pytest.raises(LedgerError, match="move it away"):
        bank.start()


def _signed_by_another(line: bytes) -> bytes:
    value = json.loads(line)
    value["signature"] = SigningKey.generate().sign(b"x").hex()
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_a_ledger_older_than_the_trail_is_refused(bank, serving):
    file = bank.site.folder / "ledger.sqlite"
    bank.end()
    backup = {path: path.read_bytes() for path in file.parent.glob("ledger.sqlite*") if ".audit" not in path.name}
    bank.ask(bank.start(), bank.preflight(2))
    bank.end()
    for path, content in backup.items():
        path.write_bytes(content)
    with pytest.raises(LedgerError, match="an older copy"):
        bank.start()


# --- a disk that takes no line


def test_nothing_leaves_without_its_line_and_nothing_more_is_charged(bank, serving):
    held = bank.trail.read_bytes()
    bank.trail.write_bytes(held + b"somebody else's\n")
    for request in (bank.preflight(2), bank.preflight(3), bank.release):
        reply = bank.ask(serving, request)
        assert isinstance(reply, Refusal)
        assert reply.code == "audit"
    # One message was charged before its line could not be written; after that none.
    assert len(serving.ledger.charges(bank.plan.digest())) == 2
    bank.trail.write_bytes(held)
    assert isinstance(bank.ask(serving, bank.preflight(2)), Contribution)
    assert bank.said("decision", "attempt", "withheld")[-3:] == [
        ("answered", 2, True),
        (None, None, None),
        ("resent", 2, None),
    ]
    assert bank.lines()[-2].values["requests"][0]["count"] == 2
    assert check(bank.trail, bank.site.key().public).lines == 6


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond that size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_at_the_start(bank, serving):
    held = bank.trail.read_bytes()
    with disk_full_at(len(held) + 50), pytest.raises(LedgerError, match="disk's space"):
        Custodian(serving._site, serving.ledger)
    assert bank.trail.read_bytes() == held
    Custodian(serving._site, serving.ledger)
    assert len(bank.lines()) == 4


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path):
    file = TrailFile(tmp_path / "trail")
    file.append(b"x" * 99 + b"\n")
    with disk_full_at(150), pytest.raises(OSError, match="space"):
        file.append(b"y" * 99 + b"\n")
    assert file.read() == b"x" * 99 + b"\n"
    file.append(b"z\n")
    assert file.read().endswith(b"x\nz\n")


def test_a_trail_that_is_no_file(bank):
    bank.trail.symlink_to("/dev/full")
    with pytest.raises(LedgerError, match="is no file"):
        bank.start()


# --- strangers


def test_refused_requests_cannot_fill_the_disk(bank, serving, monkeypatch):
    clock = [0.0]
    trail = serving._trail
    trail._allowance = allowance.Allowance(lambda: clock[0])
    before = len(bank.lines())
    for number in range(allowance.BURST + 700):
        bank.ask(serving, IDENTIFY, SigningKey.generate() if number % 2 else None)
    assert len(bank.lines()) == before + allowance.BURST
    clock[0] += 61
    bank.ask(serving, IDENTIFY)
    counted = bank.lines()[-2].values["requests"]
    assert {(one["decision"], one["proved"]): one["count"] for one in counted} == {
        ("answered", True): 350,
        ("refused", False): 350,
    }
    assert len(bank.lines()) == before + allowance.BURST + 2


def test_a_charged_message_has_its_line_whatever_was_spammed(bank, serving):
    serving._trail._allowance._left = 0.0
    serving._trail._allowance._clock = lambda: serving._trail._allowance._at
    bank.ask(serving, IDENTIFY)
    bank.ask(serving, bank.preflight(2))
    assert bank.said("event", "attempt")[-2:] == [("counted", None), ("request", 2)]


def test_ever_new_names_are_counted_as_one():
    tally = allowance.Tally()
    for number in range(1000):
        tally.add({"sender": f"stranger-{number}"})
    read = tally.read()
    assert len(read) == allowance.MOST_KINDS + 1
    assert sum(one["count"] for one in read) == 1000


def test_a_long_trail_goes_on_in_the_next_file(bank, serving, monkeypatch):
    monkeypatch.setattr(trail_file, "LONGEST_BYTES", 3000)
    for _ in range(12):
        bank.ask(serving, IDENTIFY)
    kept = set_aside(bank.trail)
    assert len(kept) >= 2
    assert check(bank.trail, bank.site.key().public).lines == 15
    bank.start()
    assert check(bank.trail, bank.site.key().public).last == 16
    kept[1].unlink()
    with pytest.raises(LedgerError, match="does not go on"):
        check(bank.trail, bank.site.key().public)


def test_a_crash_between_two_files(bank, serving):
    TrailFile(bank.trail).turn()
    assert not bank.trail.exists()
    bank.start()
    assert check(bank.trail, bank.site.key().public).lines == 4
    assert bank.lines()[-1].link.number == 4


# --- the commands


def test_show_and_verify(bank, serving, cli):
    ran = cli("audit", "show", bank.site.file, "--json")
    assert [json.loads(line)["event"] for line in ran.out.splitlines()] == ["start", "request", "request"]
    ran = cli("audit", "show", bank.site.file, "--job", bank.plan.digest().hex()[:10], "--json")
    assert len(ran.out.splitlines()) == 2
    assert cli("audit", "show", bank.site.file, "--job", "00").out.count("\n") < cli(
        "audit", "show", bank.site.file
    ).out.count("\n")
    ran = cli("audit", "verify", bank.trail, "--key", bank.site.key().public.hex())
    assert (ran.code, ran.err) == (0, "")
    assert "3 lines, numbers 1 to 3" in ran.out
    assert "as the file itself names" in cli("audit", "verify", bank.trail).out
    ran = cli("audit", "verify", bank.trail, "--key", SigningKey.generate().public.hex())
    assert ran.code == 1
    assert "line 1 is not signed" in ran.err


def test_a_receipt_for_others(bank, serving, cli):
    out = bank.site.folder / "mine.receipt"
    ran = cli("audit", "receipt", bank.site.file, bank.plan.digest().hex()[:10], "--out", out)
    assert ran.code == 1
    assert "no receipt" in ran.err
    bank.ask(serving, bank.release)
    assert cli("audit", "receipt", bank.site.file, bank.plan.digest().hex()[:10], "--out", out).code == 0
    receipt = open_envelope(out.read_bytes()).verify(bank.site.key().public)
    assert isinstance(receipt, Receipt)
    (charge,) = serving.ledger.charges(bank.plan.digest())
    assert json.loads(receipt.statement)["charged"] == [["preflight", 1, 1, charge["vector_hash"]]]


def test_a_trail_that_never_began(site, cli):
    ran = cli("audit", "show", site.file)
    assert ran.code == 1
    assert "begins when the custodian is first served" in ran.err


def test_the_ledger_reader_names_what_was_written_since(bank, serving):
    assert isinstance(serving.ledger, Ledger)
    assert [seq for seq, _, _ in serving.ledger.since(1)] == [2, 3, 4]
    assert serving.ledger.since(4) == []


def test_a_fault_of_the_software_has_a_line_and_no_cause(bank, serving, monkeypatch):
    monkeypatch.setattr(serving, "_release", lambda *_: {}["a record's value"])
    assert bank.ask(serving, bank.release).code == "internal"
    assert bank.said("decision", "code")[-1] == ("failed", "internal")
    assert "a record's value" not in bank.trail.read_text()
