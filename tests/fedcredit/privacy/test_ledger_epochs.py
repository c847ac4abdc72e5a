"""Epochs of a population: another budget only for units that are provably new."""

import os
import shutil
import sqlite3
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.quantise import Quantised
from fedcredit.data.units import Units, hash_units, unit_set
from fedcredit.errors import BudgetError, LedgerError
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.data.test_dataset import quantised
from tests.fedcredit.privacy.test_ledger import charge, seal

IDENTITY = SigningKey.generate()
DATA_KEY = bytes(range(32))
BUDGET = Account("loans", "record", GaussianAccountant(Fraction(1)))
HALF = Fraction(1, 2)


def units(*names: object, key: bytes = DATA_KEY) -> Units:
    return hash_units((str(name).encode() for name in names), key)


def join(ledger: Ledger, number: int, own: Units | None, cost: Fraction = HALF) -> bytes:
    plan_hash = number.to_bytes(32, "big")
    ledger.reserve(plan_hash, b"plan", cost, cost, {}, units=own)
    return plan_hash


def end(ledger: Ledger, plan_hash: bytes) -> None:
    ledger.abandon(plan_hash)


def test_a_new_epoch_has_a_budget_of_its_own():
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        first = join(ledger, 1, units("a", "b"), Fraction(1))
        ledger.commit(charge(1, plan=first), seal)
        with pytest.raises(BudgetError):
            join(ledger, 2, units("a", "b"))
        with pytest.raises(LedgerError, match="a job is open"):
            ledger.open_epoch(units("c"))
        end(ledger, first)
        assert ledger.committed() == Fraction(1, 10)
        assert ledger.open_epoch(units("c")) == 2
        assert ledger.committed() == 0
        second = join(ledger, 3, units("c", "d"), Fraction(1))
        assert (ledger.epoch, ledger.committed()) == (2, 1)
        assert [job.epoch for job in ledger.jobs().values()] == [1, 2]
        with pytest.raises(BudgetError):
            join(ledger, 4, units("c"))
        end(ledger, second)
        ledger.verify()


def test_units_of_an_earlier_epoch_are_refused_at_every_join_and_epoch():
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, units("a", "b")))
        end(ledger, join(ledger, 2, units("c")))
        for own in (units("a"), units("c", "x"), units("b", "c")):
            with pytest.raises(LedgerError, match="units of an earlier epoch"):
                ledger.open_epoch(own)
        assert ledger.open_epoch(units("x")) == 2
        before = ledger.event_count
        with pytest.raises(LedgerError, match="units of an earlier epoch") as refused:
            join(ledger, 3, units("x", "y", "z", "b"))
        assert not any(character.isdigit() for character in str(refused.value))
        with pytest.raises(LedgerError, match="units of an earlier epoch"):
            ledger.check_units(units("b"))
        assert ledger.event_count == before
        join(ledger, 4, units("x", "y"))
        ledger.check_units(units("x", "z"))


def test_another_data_key_is_refused():
    """Under another key nobody would be recognised, and the same persons would look new."""
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, units("a")))
        rotated = units("a", key=bytes(32))
        for act in (lambda: join(ledger, 2, rotated), lambda: ledger.open_epoch(rotated)):
            with pytest.raises(LedgerError, match="data key is another one"):
                act()
        assert (ledger.epoch, len(ledger.jobs())) == (1, 1)


def test_without_ids_there_is_one_epoch():
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, None))
        for own in (None, units("a")):
            with pytest.raises(LedgerError, match=r"(had|have) no ids"):
                ledger.open_epoch(own)
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, units("a")))
        ledger.open_epoch(units("b"))
        with pytest.raises(LedgerError, match="have no ids"):
            join(ledger, 2, None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 9), max_size=4)), max_size=14))
def test_no_unit_is_ever_in_two_epochs(actions):
    """Against a model of plain sets: which joins and epochs are accepted, and what has been entered."""
    entered: list[set[int]] = [set()]
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        for number, (is_epoch, names) in enumerate(actions):
            earlier = set().union(*entered[:-1])
            wanted = not names & (earlier | entered[-1]) if is_epoch else not names & earlier
            try:
                if is_epoch:
                    ledger.open_epoch(units(*names))
                    entered.append(set())
                else:
                    end(ledger, join(ledger, number + 1, units(*names)))
                    entered[-1] |= names
                assert wanted
            except LedgerError:
                assert not wanted
        known = ledger.known_units()
        assert known.epoch == len(entered)
        assert unit_set(known.present).tobytes() == units(*entered[-1]).hashes.tobytes()
        assert unit_set(known.earlier).tobytes() == units(*set().union(*entered[:-1])).hashes.tobytes()
        ledger.verify()


def test_an_event_says_neither_how_many_units_there_are_nor_whether_any_is_new():
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        for number, own in enumerate((units("a"), units("a"), units(*range(500))), 1):
            end(ledger, join(ledger, number, own, Fraction(1, 10)))
        joins = ledger.notes("join")
        assert len({one["units"] for one in joins}) == 3
        assert len({len(str({**one, "plan_hash": ""})) for one in joins}) == 1
        assert ledger.event_count == 1 + 2 * 3


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM unit WHERE seq = 2",
        "UPDATE unit SET hashes = substr(hashes, 17) WHERE seq = 2",
        "UPDATE unit SET salt = zeroblob(16) WHERE seq = 2",
        "UPDATE unit SET seq = 3 WHERE seq = 2",
        "INSERT INTO unit VALUES (3, zeroblob(16), zeroblob(16))",
    ],
)
def test_a_changed_table_of_units_does_not_open(tmp_path, damage):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, units("a", "b")))
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(LedgerError, match="restore"):
        Ledger.open(path, IDENTITY)


def variants(q: Quantised) -> dict[str, Quantised]:
    """The same borrowers in other clothes."""
    order = list(reversed(range(len(q.bad))))
    ids = q.ids
    more = Quantised(
        *(np_append(part) for part in (q.cells, q.bad, q.takes_part)), ids=(*ids, b"newcomer"), declared_role=None
    )
    return {
        "a row appended": more,
        "sorted anew": Quantised(q.cells[order], q.bad[order], q.takes_part[order], tuple(ids[i] for i in order), None),
        "values encoded anew": Quantised(q.cells + 1, q.bad, q.takes_part, ids, None),
        "labels corrected": Quantised(q.cells, 1 - q.bad, q.takes_part, ids, None),
    }


def np_append(array):
    return np.concatenate([array, array[-1:]])


def dataset(q: Quantised):
    return assemble_dataset(q, "bank", key=DATA_KEY, evaluation_fraction=0.3, person_cap=None)


def test_no_change_of_the_data_brings_budget_back(tmp_path):
    first = dataset(quantised())
    for name, other in variants(quantised()).items():
        path = tmp_path / f"{name}.sqlite"
        with Ledger.create(path, IDENTITY, BUDGET) as ledger:
            join(ledger, 1, first.units, Fraction(8, 10))
        data = dataset(other)
        assert (data.fingerprint != first.fingerprint) == (name != "sorted anew"), name
        with Ledger.open(path, IDENTITY) as ledger:
            assert ledger.committed() == Fraction(8, 10)
            with pytest.raises(BudgetError):
                join(ledger, 2, data.units, Fraction(3, 10))
            join(ledger, 3, data.units, Fraction(2, 10))
            known = len(ledger.known_units().present) // 16
            assert known == len(first.units.hashes) + (name == "a row appended"), name


def test_other_hyperparameters_on_the_same_population_cost_again():
    """Tuning is charged: every job's cost adds up, whichever model is kept in the end."""
    with Ledger.create(None, IDENTITY, BUDGET) as ledger:
        own = units(*range(10))
        for number in range(1, 5):
            join(ledger, number, own, Fraction(1, 4))
            assert ledger.committed() == Fraction(number, 4)
        with pytest.raises(BudgetError):
            join(ledger, 5, own, Fraction(1, 1000))


def test_three_hundred_thousand_units_are_entered_in_two_seconds(tmp_path):
    hashes = unit_set(os.urandom(16 * 300_000))
    own, more = Units(bytes(32), hashes[1000:]), Units(bytes(32), hashes)
    with Ledger.create(tmp_path / "ledger.sqlite", IDENTITY, BUDGET) as ledger:
        for number, joined in enumerate((own, more), 1):
            start = time.process_time()
            end(ledger, join(ledger, number, joined))
            assert time.process_time() - start < 2
        assert len(ledger.known_units().present) == 16 * 300_000


def test_no_epoch_begins_after_a_recovery(tmp_path):
    """A restored backup has forgotten units with the joins that it lost: they would get a second budget."""
    path, backup = tmp_path / "ledger.sqlite", tmp_path / "backup"
    with Ledger.create(path, IDENTITY, BUDGET) as ledger:
        end(ledger, join(ledger, 1, units("a")))
    shutil.copy(path, backup)
    with Ledger.open(path, IDENTITY) as ledger:
        lost = join(ledger, 2, units("x"), Fraction(1))
        ledger.commit(charge(1, plan=lost), seal)
        end(ledger, lost)
    shutil.copy(backup, path)
    Ledger.recover(path, IDENTITY, Fraction(1, 10))
    with Ledger.open(path, IDENTITY) as ledger:
        with pytest.raises(LedgerError, match="recovered ledger has forgotten units"):
            ledger.open_epoch(units("x"))
        join(ledger, 3, units("x"))
        assert (ledger.epoch, ledger.committed()) == (1, Fraction(6, 10))
