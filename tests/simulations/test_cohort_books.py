"""Books of a cohort against real ledgers, one for each institution: every balance and every refusal."""

from fractions import Fraction

import numpy as np
import pytest

from fedcredit.errors import BudgetError
from fedcredit.privacy.accounting import GaussianAccountant, Mechanism
from fedcredit.privacy.events import Charge, Slot
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Role
from simulations.cohort_books import Book, Books

ACCOUNTANT = GaussianAccountant(Fraction(1))
MECHANISMS = {"bank": Mechanism(3, 100), "hospital": Mechanism(2, 70)}
COSTS = {kind: ACCOUNTANT.cost(one) for kind, one in MECHANISMS.items()}
KINDS = ("bank", "hospital", "bank", "bank", "hospital")
PLAN = bytes(32)


def ledgers() -> list[Ledger]:
    opened = []
    for number in range(len(KINDS)):
        ledger = Ledger.create(None, SigningKey.generate(), Account(f"one-{number}", "record", ACCOUNTANT))
        ledger.reserve(PLAN, b"plan", Fraction(2, 10), Fraction(7, 100), {})
        opened.append(ledger)
    return opened


def charge(kind: str, role: Role, round_: int, attempt: int) -> Charge:
    return Charge(Slot(PLAN, role, round_, attempt), MECHANISMS[kind], PLAN, PLAN, PLAN, PLAN, (), 0, 100)


@pytest.mark.parametrize("seed", range(4))
def test_every_balance_and_refusal_is_that_of_a_real_ledger(seed):
    rng = np.random.default_rng(seed)
    real, books = ledgers(), Books(len(KINDS))
    for kind in ("bank", "hospital"):
        members = np.array([index for index, own in enumerate(KINDS) if own == kind])
        books.give(members, Book(kind, Fraction(2, 10), Fraction(7, 100)))
    refusals = 0
    for round_ in range(1, 6):
        for attempt in range(1, int(rng.integers(3, 5))):
            asked = np.flatnonzero(rng.random(len(KINDS)) < 0.7)
            event = {"role": "train", "round": round_, "attempt": attempt, "model_hash": "", "members": ()}
            unable = set(books.charge(asked, event, COSTS).tolist())
            for index in asked.tolist():
                one = charge(KINDS[index], Role.TRAIN, round_, attempt)
                try:
                    real[index].commit(one, lambda *_: b"sent")
                    assert index not in unable
                except BudgetError:
                    assert index in unable
                    assert books.of(index).refused_a_retry
                    refusals += 1
            for index, ledger in enumerate(real):
                assert books.of(index).spent == ledger.job(PLAN).spent
                assert len(books.of(index).charges) == len(ledger.charges(PLAN))
    assert refusals
    for ledger in real:
        ledger.close()


def test_institutions_with_one_past_share_a_book_and_nobody_has_one_before_it_joins():
    books = Books(4)
    assert books.of(0) is None
    assert books.by_book(np.arange(4)) == []
    books.give(np.array([0, 1, 2]), Book("bank", Fraction(1), Fraction(1)))
    books.charge(np.array([1]), {"role": "train", "round": 1, "attempt": 1}, {"bank": Fraction(1, 2)})
    shared = [members.tolist() for _, members in books.by_book(np.arange(4))]
    assert shared == [[0, 2], [1]]
    assert (books.of(1).spent, books.of(0).spent) == (Fraction(1, 2), 0)
