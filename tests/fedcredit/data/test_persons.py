"""Whose a row is: numbered from 0 with none left out, through sampling, joining and the choice of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.quantise import Quantised
from fedcredit.data.rows import Rows, concatenate, single, validate_rows
from fedcredit.errors import DataError

KEY = b"k" * 32
# Any owners of any number of rows, numbered as they first appear.
WHOSE = st.lists(st.integers(0, 6), max_size=20).map(lambda names: [sorted(set(names)).index(name) for name in names])


def rows_of(whose, width=1) -> Rows:
    """Rows whose cell is their number."""
    n = len(whose)
    cells = np.repeat(np.arange(n, dtype=np.uint16)[:, None], width, axis=1)
    return single(cells, np.zeros(n, dtype=np.uint8), np.array(whose, dtype=np.int64))


@given(WHOSE)
def test_units_are_the_persons_and_each_row_knows_how_many_its_own_has(whose):
    rows = rows_of(whose)
    assert rows.n_units == len(set(whose))
    assert rows.records_of_unit().tolist() == [whose.count(person) for person in whose]


def test_without_persons_each_row_is_a_unit():
    rows = single(np.zeros((3, 1), dtype=np.uint16), np.zeros(3, dtype=np.uint8))
    assert (rows.n_units, rows.records_of_unit().tolist()) == (3, [1, 1, 1])
    chosen = rows.of_units(np.array([True, False, True]))
    assert (chosen.n_rows, chosen.persons) == (2, None)


@given(WHOSE, st.integers(0, 2**7 - 1))
def test_chosen_units_keep_all_of_their_rows_and_are_numbered_anew(whose, bits):
    rows = rows_of(whose)
    chosen = [bool(bits >> person & 1) for person in range(rows.n_units)]
    part = rows.of_units(np.array(chosen, dtype=np.bool_))
    kept = [row for row, person in enumerate(whose) if chosen[person]]
    assert part.cells[:, 0].tolist() == kept
    names = sorted({whose[row] for row in kept})
    assert part.persons.tolist() == [names.index(whose[row]) for row in kept]
    assert part.persons.dtype == np.int64
    assert part.n_units == len(names)
    assert part.records_of_unit().tolist() == [whose.count(whose[row]) for row in kept]


@given(st.lists(WHOSE, min_size=1, max_size=4))
def test_nobody_is_a_customer_of_two_institutions(parts):
    joined = concatenate([rows_of(whose) for whose in parts])
    assert joined.n_units == sum(len(set(whose)) for whose in parts)
    owners = [(index, person) for index, whose in enumerate(parts) for person in whose]
    numbers = dict(zip(owners, joined.persons.tolist(), strict=True))
    assert [numbers[one] for one in owners] == joined.persons.tolist()
    assert sorted(numbers.values()) == list(range(joined.n_units))
    assert joined.records_of_unit().tolist() == [owners.count(one) for one in owners]


def test_rows_that_say_whose_they_are_do_not_join_others():
    plain = single(np.zeros((1, 1), dtype=np.uint16), np.zeros(1, dtype=np.uint8))
    with pytest.raises(DataError, match="must all say whose they are, or none"):
        concatenate([rows_of([0]), plain])
    assert concatenate([plain, plain]).persons is None


@pytest.mark.parametrize(
    ("whose", "sentence"),
    [
        (np.array([0, 1], dtype=np.int32), "int64 of shape"),
        (np.array([0], dtype=np.int64), "int64 of shape"),
        (np.array([[0, 1]], dtype=np.int64), "int64 of shape"),
        (np.array([0, 2]), "from 0 with none left out"),
        (np.array([1, 1]), "from 0 with none left out"),
        (np.array([-1, 0]), "from 0 with none left out"),
        (np.array([-2, -2]), "from 0 with none left out"),
        (np.array([0, 2**62]), "from 0 with none left out"),
    ],
)
def test_persons_of_another_form_are_refused(small, whose, sentence):
    """A number left out would be a unit without rows; a negative one would be read from the end."""
    valid = single(np.array([[11, 6], [0, 0]], dtype=np.uint16), np.array([1, 0], dtype=np.uint8))
    for good in ([0, 0], [0, 1], [1, 0]):
        validate_rows(Rows(valid.cells, valid.bad, valid.offsets, np.array(good)), small, "bank")
    with pytest.raises(DataError, match=sentence):
        validate_rows(Rows(valid.cells, valid.bad, valid.offsets, whose), small, "bank")


def test_no_rows_are_nobodys(small):
    nobody = single(np.zeros((0, 2), dtype=np.uint16), np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int64))
    validate_rows(nobody, small, "bank")
    assert nobody.n_units == nobody.of_units(np.zeros(0, dtype=np.bool_)).n_units == 0
    assert nobody.records_of_unit().tolist() == []


# From a table.


def quantised(n=400, rows_per_id=4, role=None) -> Quantised:
    """Row i is of person i // rows_per_id; every tenth takes no part."""
    cells = np.arange(n, dtype=np.uint16).reshape(n, 1)
    ids = tuple(str(i // rows_per_id).encode() for i in range(n))
    return Quantised(cells, np.zeros(n, dtype=np.uint8), np.arange(n) % 10 != 0, ids, role)


@pytest.mark.parametrize("cap", [1, 2, 4])
def test_a_person_is_in_one_role_with_at_most_the_cap(cap):
    data = assemble_dataset(quantised(), "bank", key=KEY, evaluation_fraction=0.3, person_cap=cap)
    for rows in (data.train, data.evaluate):
        ids = rows.cells[:, 0] // 4
        assert rows.n_units == len(set(ids.tolist())) > 10
        pairs = set(zip(ids.tolist(), rows.persons.tolist(), strict=True))
        assert len(pairs) == rows.n_units
        assert rows.records_of_unit().max() == cap
    assert not set(data.train.cells[:, 0] // 4) & set(data.evaluate.cells[:, 0] // 4)


def test_unit_record_numbers_nobody():
    data = assemble_dataset(quantised(), "bank", key=KEY, evaluation_fraction=0.3, person_cap=None)
    assert data.train.persons is None
    assert data.evaluate.persons is None


def test_a_declared_split_may_divide_a_person_and_the_cap_holds_over_both_parts():
    """Each role's messages are charged by themselves: a person in both is in fewer records of each."""
    split = quantised(role=np.arange(400, dtype=np.int64) % 2)
    data = assemble_dataset(split, "bank", key=KEY, evaluation_fraction=0.3, person_cap=3)
    both = [*(data.train.cells[:, 0] // 4).tolist(), *(data.evaluate.cells[:, 0] // 4).tolist()]
    assert max(both.count(person) for person in set(both)) == 3
    assert set(data.train.cells[:, 0] // 4) & set(data.evaluate.cells[:, 0] // 4)
    for rows in (data.train, data.evaluate):
        assert sorted(set(rows.persons.tolist())) == list(range(rows.n_units))
