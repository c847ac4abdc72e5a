"""Many jobs at once: reserve, then commit, whoever comes first."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import BudgetError, LedgerError
from fedcredit.privacy.ledger import Ledger
from tests.fedcredit.privacy.test_ledger import BUDGET, KEY, charge, seal

THREADS = 8


def together(acts) -> list[object]:
    """Results, or errors of ours, of functions that start at the same time in threads of their own."""
    gate = threading.Barrier(len(acts))

    def start(act):
        gate.wait()
        try:
            return act()
        except (BudgetError, LedgerError) as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return [one.result() for one in [pool.submit(start, act) for act in acts]]


def plan(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize("racers", [2, THREADS])
def test_of_two_joins_for_the_last_budget_one_wins(tmp_path, racers):
    with Ledger.create(tmp_path / "ledger.sqlite", KEY, BUDGET) as ledger:
        ledger.reserve(plan(100), b"plan", Fraction(4, 10), Fraction(0), {})

        def join(number):
            return lambda: ledger.reserve(plan(number), b"plan", Fraction(6, 10), Fraction(0), {})

        results = together([join(number) for number in range(racers)])
        assert [type(one) for one in results].count(BudgetError) == racers - 1
        assert ledger.committed() == 1
        assert len(ledger.open_jobs()) == 2
        ledger.verify()


def test_one_message_asked_for_by_many_threads_is_charged_once(tmp_path):
    with Ledger.create(tmp_path / "ledger.sqlite", KEY, BUDGET) as ledger:
        ledger.reserve(plan(1), b"plan", Fraction(1), Fraction(1), {})
        results = together([lambda: ledger.commit(charge(1, plan=plan(1)), seal)] * THREADS)
        (sent,) = [one for one in results if isinstance(one, bytes)]
        assert ledger.stored(charge(1, plan=plan(1)).slot).message == sent
        assert ledger.job(plan(1)).spent == Fraction(1, 10)


def test_no_thread_sees_a_message_that_is_not_durable():
    """A reader on the writer's connection would see rows of a transaction that can still fail."""
    with Ledger.create(None, KEY, BUDGET) as ledger:
        ledger.reserve(plan(1), b"plan", Fraction(1), Fraction(1), {})
        slot, seen, connection = charge(1, plan=plan(1)).slot, [], ledger._connection
        reader = threading.Thread(target=lambda: seen.extend([ledger.charges(plan(1)), ledger.stored(slot)]))

        class FailsAtCommit:
            @property
            def in_transaction(self):
                return connection.in_transaction

            def execute(self, sql, *values):
                if sql == "COMMIT":
                    reader.start()
                    reader.join(0.3)  # long enough to see the row, were it not for the writer's turn
                    raise sqlite3.OperationalError("database or disk is full")
                return connection.execute(sql, *values)

        ledger._connection = FailsAtCommit()
        with pytest.raises(LedgerError):
            ledger.commit(charge(1, plan=plan(1)), seal)
        ledger._connection = connection
        reader.join(10)
        assert seen == [[], None]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 2), st.booleans()), min_size=8, max_size=32)
)
def test_any_interleaving_stays_within_the_budget(actions):
    """As the single-threaded property, with the actions dealt to threads."""
    with Ledger.create(None, KEY, BUDGET) as ledger:

        def act(mine):
            for number, round_, attempt, close in mine:
                try:
                    ledger.reserve(plan(number), b"plan", Fraction(4, 10), Fraction(2, 10), {})
                    ledger.commit(charge(round_, attempt, plan(number)), seal)
                    if close:
                        ledger.abandon(plan(number))
                except (BudgetError, LedgerError):
                    pass

        together([lambda mine=actions[i::4]: act(mine) for i in range(4)])
        charges = [event for event in ledger.events() if event["event"] == "charge"]
        slots = [(one["plan_hash"], one["role"], one["round"], one["attempt"]) for one in charges]
        assert len(set(slots)) == len(slots)
        assert sum((Fraction(one["cost"]) for one in charges), Fraction(0)) <= ledger.committed() <= 1
        assert all(job.spent <= job.reserved for job in ledger.jobs().values())
        ledger.verify()


def test_many_threads_share_a_file(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET) as ledger:
        for number in range(4):
            ledger.reserve(plan(number), b"plan", Fraction(1, 4), Fraction(0), {})

        def rounds(number):
            return [ledger.commit(charge(round_, plan=plan(number)), seal) for round_ in (1, 2)]

        results = together([lambda number=number: rounds(number) for number in range(4)])
        assert len({sent for one in results for sent in one}) == 8
    with Ledger.open(path, KEY) as again:
        assert again.event_count == 1 + 4 + 8
        assert {job.spent for job in again.jobs().values()} == {Fraction(2, 10)}
