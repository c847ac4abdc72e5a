import resource
import sqlite3
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import BudgetError, LedgerError, PrivacyError
from fedcredit.privacy.accounting import GaussianAccountant, Mechanism, NoAccountant
from fedcredit.privacy.events import Charge, Slot
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Role

KEY = SigningKey.generate()
PLAN = bytes([1]) * 32
BUDGET = Account("loans", "record", GaussianAccountant(Fraction(1)))
TENTH = Mechanism(10_000, 100_000)  # mu² = 1/10


def charge(round_: int, attempt: int = 1, plan: bytes = PLAN, mechanism: Mechanism = TENTH) -> Charge:
    slot = Slot(plan, Role.TRAIN, round_, attempt)
    return Charge(
        slot, mechanism, bytes(32), bytes(32), bytes(32), bytes(32), ("bank-1", "bank-2", "bank-3"), 1, 100_000
    )


def seal(count: int, head: bytes) -> bytes:
    return b"message %d " % count + head


def test_a_charge_and_its_bytes_are_one(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(1, 2), {})
        sent = ledger.commit(charge(1), seal)
    with Ledger.open(path, KEY) as again:
        stored = again.stored(charge(1).slot)
        assert stored is not None
        assert stored.message == sent
        job = again.job(PLAN)
        assert job is not None
        assert (job.plan, job.reserved, job.spent) == (b"plan", Fraction(1, 2), Fraction(1, 10))


def test_nothing_is_charged_when_the_message_cannot_be_built():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(1, 2), {})

        def broken(count: int, head: bytes) -> bytes:
            raise RuntimeError("no bytes")

        with pytest.raises(RuntimeError):
            ledger.commit(charge(1), broken)
        assert ledger.stored(charge(1).slot) is None
        assert ledger.event_count == 2


def test_a_slot_is_charged_once():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        ledger.commit(charge(1), seal)
        with pytest.raises(LedgerError, match="charged before"):
            ledger.commit(charge(1), seal)
        ledger.commit(charge(1, attempt=2), seal)


def test_a_job_that_cannot_be_paid_does_not_start():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(6, 10), Fraction(6, 10), {})
        with pytest.raises(BudgetError):
            ledger.reserve(bytes([2]) * 32, b"other", Fraction(1, 2), Fraction(1, 2), {})
        assert ledger.job(bytes([2]) * 32) is None
        ledger.reserve(bytes([3]) * 32, b"third", Fraction(4, 10), Fraction(4, 10), {})


def test_nothing_beyond_the_reservation_is_answered():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 10), Fraction(1, 10), {})
        ledger.commit(charge(1), seal)
        with pytest.raises(BudgetError, match="used up"):
            ledger.commit(charge(2), seal)


def test_retries_cannot_eat_what_later_rounds_need():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1, 10), {})
        ledger.commit(charge(1), seal)
        ledger.commit(charge(1, attempt=2), seal)
        with pytest.raises(BudgetError):
            ledger.commit(charge(1, attempt=3), seal)
        ledger.commit(charge(2, attempt=3), seal)
        with pytest.raises(BudgetError):
            ledger.commit(charge(2, attempt=4), seal)


def test_an_unknown_or_closed_job_is_not_charged():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        with pytest.raises(LedgerError, match="never joined"):
            ledger.commit(charge(1), seal)
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        ledger.finish(PLAN, bytes(32), seal)
        with pytest.raises(LedgerError, match="is over"):
            ledger.commit(charge(1), seal)


def test_closing_frees_only_what_was_never_spent():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(9, 10), Fraction(9, 10), {})
        ledger.commit(charge(1), seal)
        assert ledger.committed() == Fraction(9, 10)
        ledger.finish(PLAN, bytes(32), seal)
        assert ledger.committed() == Fraction(1, 10)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 3), st.booleans()), max_size=25))
def test_spending_never_passes_the_budget(actions):
    """Any order of joining, charging and closing keeps the sum of what left within the budget."""
    with Ledger.create(None, KEY, BUDGET) as ledger:
        for number, round_, attempt, close in actions:
            plan = bytes([number]) * 32
            try:
                ledger.reserve(plan, b"plan", Fraction(4, 10), Fraction(4, 10), {})
                ledger.commit(charge(round_, attempt, plan), seal)
                if close:
                    ledger.finish(plan, bytes(32), seal)
            except (BudgetError, LedgerError):
                pass
        sent = [Fraction(event["cost"]) for event in ledger.events() if event["event"] == "charge"]
        assert sum(sent, Fraction(0)) <= ledger.committed() <= 1
        ledger.verify()


def test_two_custodians_cannot_share_a_ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET), pytest.raises(LedgerError, match="in use"):
        Ledger.open(path, KEY)


def test_an_existing_ledger_is_never_overwritten(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, KEY, BUDGET).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LedgerError, match="never overwritten"):
        Ledger.create(path, KEY, BUDGET)


def test_an_opening_that_died_before_its_first_commit_is_done_again(tmp_path):
    for name, begun in (("empty", False), ("begun", True)):
        path = tmp_path / name
        path.touch(mode=0o600)
        if begun:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE event (seq INTEGER)")
            connection.close()  # without a commit
        Ledger.create(path, KEY, BUDGET).close()
        Ledger.open(path, KEY).close()


def test_no_other_file_is_taken_for_an_unfinished_ledger(tmp_path):
    path = tmp_path / "notes"
    path.write_bytes(b"somebody's notes, long enough to be read as a header of something else entirely" * 20)
    with pytest.raises(LedgerError, match="never overwritten"):
        Ledger.create(path, KEY, BUDGET)
    assert path.read_bytes().startswith(b"somebody's notes")


@pytest.mark.parametrize(
    "damage",
    [
        """UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '"round":1', '"round":2') AS BLOB)
        WHERE kind = 'charge'""",
        "UPDATE event SET round = 2 WHERE round = 1",
        "DELETE FROM event WHERE round = 1; UPDATE event SET seq = 3 WHERE seq = 4",
        "UPDATE event SET kind = 'join' WHERE kind = 'charge'",
        "UPDATE event SET role = 1 WHERE kind = 'charge'",
        "UPDATE event SET role = 99 WHERE kind = 'charge'",
        "UPDATE event SET signature = zeroblob(64) WHERE seq = 3",
        "DELETE FROM event",
    ],
)
def test_a_changed_ledger_does_not_open(tmp_path, damage):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        ledger.commit(charge(1), seal)
        ledger.commit(charge(3), seal)
    with sqlite3.connect(path) as connection:
        connection.executescript(damage)
    connection.close()
    for _ in range(2):  # the lock is free again after each refusal
        with pytest.raises(LedgerError, match="restore"):
            Ledger.open(path, KEY)


def test_another_institutions_key_does_not_open_it(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, KEY, BUDGET).close()
    with pytest.raises(LedgerError, match="does not hold"):
        Ledger.open(path, SigningKey.generate())
    Ledger.open(path, KEY).close()


def test_a_gaussian_ledger_refuses_sampled_and_noiseless_releases():
    accountant = GaussianAccountant(Fraction(1))
    with pytest.raises(PrivacyError, match="mixed"):
        accountant.cost(Mechanism(1, 10_000, 0.5))
    with pytest.raises(PrivacyError, match="noise_variance"):
        accountant.cost(Mechanism(1, 0))


def test_without_privacy_nothing_costs_and_nothing_is_bounded():
    accountant = NoAccountant()
    assert accountant.cost(Mechanism(1, 0)) == 0
    assert accountant.epsilon(Fraction(5), 1e-6) is None


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be looked at" * 40])
def test_a_file_that_is_no_ledger_is_named(tmp_path, content):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LedgerError, match="damaged"):
            Ledger.open(path, KEY)


def test_a_job_that_is_over_is_not_reserved_again():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {})
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {})
        ledger.finish(PLAN, bytes(32), seal)
        with pytest.raises(LedgerError, match="is over"):
            ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {})
        assert ledger.event_count == 3


def test_a_smaller_budget_binds_and_a_larger_one_does_not():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        with pytest.raises(BudgetError):
            ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {}, budget=Fraction(49, 100))
        with pytest.raises(BudgetError):
            ledger.reserve(PLAN, b"plan", Fraction(101, 100), Fraction(0), {}, budget=Fraction(2))
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {}, budget=Fraction(1, 2))


class BusyAtCommit(sqlite3.Connection):
    """A connection whose next COMMIT fails as SQLite does when it must be asked again: the transaction stays open."""

    busy = False

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and self.busy:
            self.busy = False
            raise sqlite3.OperationalError("database is locked")
        return super().execute(sql, *parameters)


def test_what_was_not_committed_is_not_there(monkeypatch):
    """Else the next request for the slot would be answered with bytes that no crash survives."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=BusyAtCommit, **kwargs))
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        ledger._connection.busy = True
        with pytest.raises(LedgerError):
            ledger.commit(charge(1), seal)
        assert ledger.stored(charge(1).slot) is None
        assert ledger.event_count == 2
        ledger.commit(charge(1), seal)
        ledger.verify()


def test_a_full_disk_charges_nothing_and_is_forgotten(tmp_path):
    with Ledger.create(tmp_path / "ledger.sqlite", KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(one.stat().st_size for one in tmp_path.iterdir()), hard))
        try:
            with pytest.raises(LedgerError):
                ledger.commit(charge(1), lambda *_: bytes(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.stored(charge(1).slot) is None
        ledger.commit(charge(1), seal)
    with Ledger.open(tmp_path / "ledger.sqlite", KEY) as again:
        assert len(again.charges(PLAN)) == 1


def test_many_cheap_jobs_do_not_make_the_sum_endless():
    """Costs with unlike denominators: their exact sum has as many digits as there are jobs."""
    with Ledger.create(None, KEY, BUDGET) as ledger:
        exact = Fraction(0)
        for number in range(60):
            cost = Fraction(1, 2**240 + 2 * number + 1)
            ledger.reserve(number.to_bytes(32, "big"), b"plan", cost, Fraction(0), {})
            exact += cost
        committed = ledger.committed()
        assert committed.denominator.bit_length() < 5000 < exact.denominator.bit_length()
        assert exact <= committed <= exact + Fraction(1, 2**2000)


def test_an_abandoned_job_frees_what_it_never_spent_and_stays_closed():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(9, 10), Fraction(9, 10), {})
        ledger.commit(charge(1), seal)
        assert list(ledger.open_jobs()) == [PLAN]
        ledger.abandon(PLAN)
        assert ledger.open_jobs() == {}
        assert ledger.committed() == Fraction(1, 10)
        with pytest.raises(LedgerError, match="is over"):
            ledger.commit(charge(2), seal)
        with pytest.raises(LedgerError, match="is over"):
            ledger.abandon(PLAN)
        ledger.verify()
