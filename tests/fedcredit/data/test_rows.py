import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.rows import Rows, concatenate, single, validate_rows
from fedcredit.errors import DataError


def rows_of(n: int, width: int = 2, start: int = 0) -> Rows:
    cells = (np.arange(n * width).reshape(n, width) + start).astype(np.uint16)
    return single(cells, (np.arange(n) % 2).astype(np.uint8))


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=4))
def test_concatenation_keeps_every_institution(sizes):
    singles = [[rows_of(n, start=i) for i, n in enumerate(group)] for group in sizes]
    nested = concatenate([concatenate(group) for group in singles])
    flat = [one for group in singles for one in group]
    assert nested.n_institutions == len(flat)
    assert nested.n_rows == sum(one.n_rows for one in flat)
    assert nested.offsets.dtype == np.int64
    for i, one in enumerate(flat):
        part = slice(nested.offsets[i], nested.offsets[i + 1])
        assert np.array_equal(nested.cells[part], one.cells)
        assert np.array_equal(nested.bad[part], one.bad)


def test_concatenation_refuses_different_widths():
    with pytest.raises(DataError, match=r"widths \[2, 3\]"):
        concatenate([rows_of(1), rows_of(1, width=3)])
    with pytest.raises(DataError, match="one institution type"):
        concatenate([])


def valid() -> Rows:
    return single(np.array([[11, 6], [0, 0]], dtype=np.uint16), np.array([1, 0], dtype=np.uint8))


def test_valid_rows_pass(small):
    validate_rows(valid(), small, "bank")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda r: Rows(r.cells.astype(np.int64), r.bad, r.offsets),
            "must be uint8 or uint16, uint8 and int64, got int64",
        ),
        (lambda r: Rows(r.cells[:, :1], r.bad, r.offsets), r"must have shape \(2, 2\), got \(2, 1\)"),
        (lambda r: Rows(r.cells[:1], r.bad, r.offsets), r"must have shape \(2, 2\), got \(1, 2\)"),
        (lambda r: Rows(r.cells, r.bad, r.offsets[:1]), "offsets must rise from 0"),
        (lambda r: Rows(r.cells, r.bad, np.array([0, 3])), "offsets must rise from 0"),
        (lambda r: Rows(r.cells, r.bad, np.array([0, 2, 1, 2])), "offsets must rise from 0"),
        (lambda r: Rows(r.cells + np.uint16(1), r.bad, r.offsets), "outside dictionary 'small'"),
        (lambda r: Rows(r.cells, r.bad + np.uint8(1), r.offsets), "outside dictionary 'small'"),
    ],
)
def test_invalid_rows_are_refused(small, change, sentence):
    with pytest.raises(DataError, match=sentence):
        validate_rows(change(valid()), small, "bank")


@pytest.mark.parametrize("row", [0, 2, 3, 6])
def test_a_cell_outside_its_grid_is_found_in_whichever_part_it_lies(small, row, monkeypatch):
    monkeypatch.setattr("fedcredit.data.rows._CHECKED_AT_ONCE", 3)
    cells = np.zeros((7, len(small.owned("bank"))), dtype=np.uint16)
    validate_rows(single(cells, np.zeros(7, dtype=np.uint8)), small, "bank")
    cells[row, -1] = small.owned_features("bank")[-1].n_cells
    with pytest.raises(DataError, match="lies outside dictionary"):
        validate_rows(single(cells, np.zeros(7, dtype=np.uint8)), small, "bank")
