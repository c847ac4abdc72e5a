"""Offline verification: what is signed must also add up, whoever signed it."""

from fractions import Fraction

import pytest

from fedcredit.errors import LedgerError
from fedcredit.planning import mixed_accountant
from fedcredit.privacy.accounting import Mechanism
from fedcredit.privacy.events import Slot, write_fraction
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_audit import audit
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.ledger_export import export_lines, read_export
from fedcredit.wire.canonical import canonical_json, parse_json
from tests.fedcredit.privacy.test_ledger import BUDGET, KEY, PLAN, charge, seal

OTHER = bytes([2]) * 32


def busy_ledger() -> Ledger:
    """Two jobs, retries, a recovery and a second epoch."""
    from tests.fedcredit.privacy.test_ledger_epochs import units

    ledger = Ledger.create(None, KEY, BUDGET)
    ledger.reserve(PLAN, b"plan", Fraction(5, 10), Fraction(1, 10), {}, units=units("a"))
    ledger.reserve(OTHER, b"plan", Fraction(5, 10), Fraction(1, 10), {}, units=units("b"))
    for one in (charge(1), charge(1, attempt=2), charge(2), charge(1, plan=OTHER)):
        ledger.commit(one, seal)
    ledger.abandon(PLAN)
    ledger.reserve(bytes([3]) * 32, b"plan", Fraction(2, 10), Fraction(0), {}, units=units("a", "c"))
    for plan_hash in (OTHER, bytes([3]) * 32):
        ledger.abandon(plan_hash)
    ledger.open_epoch(units("d"))
    ledger.reserve(bytes([4]) * 32, b"plan", Fraction(1), Fraction(0), {}, units=units("d"))
    return ledger


def test_an_honest_ledger_and_its_export_add_up():
    with busy_ledger() as ledger:
        rows = ledger.rows()
        key, exported = read_export(b"".join(export_lines(rows, KEY)))
        assert (key, exported) == (KEY.public, rows)
        for given in (rows, exported):
            found = audit(given, KEY.public)
            assert (found.events, found.charges, found.jobs, found.open_jobs, found.epoch) == (len(rows), 4, 4, 1, 2)
            assert found.committed == ledger.committed() == 1


def test_a_mixed_ledger_adds_up():
    accountant = mixed_accountant(4.0, 1e-5)
    with Ledger.create(None, KEY, Account("loans", "record", accountant)) as ledger:
        ledger.reserve(PLAN, b"plan", accountant.budget, Fraction(0), {})
        ledger.commit(charge(1, mechanism=Mechanism(100, 100_000, 0.25)), seal)
        assert audit(ledger.rows(), KEY.public).charges == 1


def forged(*bodies) -> Ledger:
    """Events that the institution signed although its own software never writes them."""
    ledger = Ledger.create(None, KEY, BUDGET)
    ledger.reserve(PLAN, b"plan", Fraction(3, 10), Fraction(1, 10), {})
    ledger.commit(charge(1), seal)
    for kind, body, slot in bodies:
        plan_hash = bytes.fromhex(body["plan_hash"]) if "plan_hash" in body else None
        with ledger._writing():
            ledger._append(kind, {"event": kind, **body}, plan_hash=plan_hash, slot=slot)
    ledger.verify()
    return ledger


def paid(round_, cost=Fraction(1, 10), plan=PLAN, **changes):
    one = charge(round_, plan=plan)
    body = {**one.body(cost), **changes}
    return "charge", body, Slot(plan, one.slot.role, body["round"], body["attempt"])


def joined(plan, reserved, epoch=1):
    terms = {"reserved": write_fraction(reserved), "retry_reserve": "0/1", "terms": {}, "units": None, "data_key": None}
    return "join", {"plan_hash": plan.hex(), "epoch": epoch, **terms}, None


def closed(plan, spent):
    return "close", {"plan_hash": plan.hex(), "spent": write_fraction(spent)}, None


@pytest.mark.parametrize(
    ("bodies", "event", "words"),
    [
        ([paid(2, cost=Fraction(1, 11))], 4, "not its mechanism's"),
        ([paid(2), paid(3), paid(4)], 6, "beyond the job's reservation"),
        ([paid(1, attempt=2), paid(1, attempt=3)], 5, "beyond the job's reservation"),
        ([paid(1, plan=OTHER)], 4, "not open"),
        ([joined(OTHER, Fraction(8, 10))], 4, "budget cannot pay"),
        ([joined(OTHER, Fraction(1, 10), epoch=2)], 4, "epoch 2 in epoch 1"),
        ([closed(PLAN, Fraction(0))], 4, "another sum"),
        ([closed(PLAN, Fraction(1, 10)), paid(2)], 5, "not open"),
        ([closed(OTHER, Fraction(0))], 4, "not open"),
        ([("population_epoch", {"epoch": 2}, None)], 4, "1 jobs open"),
        ([closed(PLAN, Fraction(1, 10)), ("population_epoch", {"epoch": 3}, None)], 5, "after epoch 1"),
        ([("open", {"accountant": BUDGET.accountant.to_json()}, None)], 4, "second opening"),
        ([("recovered", {"epoch": 1, "lost_cost": "-1/2", "count_offset": 0}, None)], 4, "below zero"),
        ([("charge", {"plan_hash": PLAN.hex()}, None)], 4, "lacks"),
    ],
)
def test_what_does_not_add_up_is_named(bodies, event, words):
    with forged(*bodies) as ledger:
        rows = ledger.rows()
        for given in (rows, read_export(b"".join(export_lines(rows, KEY)))[1]):
            with pytest.raises(LedgerError, match=rf"ledger event {event} .*{words}"):
                audit(given, KEY.public)
        audit(rows[: event - 1], KEY.public)


@pytest.mark.parametrize("column", range(10))
def test_every_column_of_every_event_is_bound(column):
    """A changed, missing, doubled or moved event is noticed at its place."""
    with busy_ledger() as ledger:
        rows = ledger.rows()
    for number, row in enumerate(rows):
        value = row[column]
        changed = {
            int: lambda value: value + 1,
            str: lambda value: value + "x",
            bytes: lambda value: value[:-1] + bytes([value[-1] ^ 1]),
            type(None): lambda _: b"\1" if column == 2 else 1,
        }[type(value)](value)
        other = [*rows[:number], (*row[:column], changed, *row[column + 1 :]), *rows[number + 1 :]]
        with pytest.raises(LedgerError):
            audit(other, KEY.public)
    for number in range(1, len(rows) - 1):
        for other in (rows[:number] + rows[number + 1 :], [*rows[: number + 1], *rows[number:]]):
            with pytest.raises(LedgerError, match="does not hold"):
                audit(other, KEY.public)
    with pytest.raises(LedgerError, match="no opening"):
        audit([], KEY.public)


@pytest.mark.parametrize("offset", [None, "1", -1, 1.5])
def test_a_recovery_that_nobody_signed_is_refused_in_a_sentence(offset):
    """An export is whatever file somebody hands in; nothing in it is proved while its counts are added up."""
    with busy_ledger() as ledger:
        *before, last = export_lines(ledger.rows(), KEY)
    line = parse_json(last)
    line["event"] = {"event": "recovered"} if offset is None else {"event": "recovered", "count_offset": offset}
    with pytest.raises(LedgerError, match="how many events were lost"):
        audit(read_export(b"".join(before) + canonical_json(line))[1], KEY.public)
