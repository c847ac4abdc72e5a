import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.columns import blank, ids, numbers, positions, require_columns
from fedcredit.errors import DataError


def column(values, kind=None) -> pa.Table:
    return pa.table({"x": pa.array(values, kind)})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" +2\t", 2),
        ("-3.5e2", -350),
        (".5", 0.5),
        ("5.", 5),
        ("00012", 12),
        ("1e-999", 0),
        ("1e999", math.inf),
    ],
)
def test_texts_that_are_numbers(text, value):
    assert numbers(column([text]), "x").tolist() == [value]


@pytest.mark.parametrize(
    "text", ["", " ", "nan", "inf", "1_000", "1,000", "0x10", "abc", "1e1000", "--1", "1 2", "１", None]
)
def test_texts_that_are_none(text):
    assert np.isnan(numbers(column([text], pa.string()), "x")).all()


@given(st.lists(st.text(max_size=8) | st.floats().map(str) | st.none(), max_size=20))
def test_no_text_raises_and_rows_are_read_one_by_one(texts):
    together = numbers(column(texts, pa.string()), "x")
    alone = [numbers(column([text], pa.string()), "x")[0] for text in texts]
    assert np.array_equal(together, np.array(alone, dtype=np.float64), equal_nan=True)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), max_size=20))
def test_written_numbers_read_back_exactly(values):
    assert numbers(column([repr(v) for v in values], pa.string()), "x").tolist() == values


def test_broken_utf8_is_only_missing():
    raw = pa.array([b"\xff 1", b" 5\n", b"\xc3"], pa.binary())
    table = pa.table({"x": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    assert np.isnan(numbers(table, "x")).tolist() == [True, False, True]
    assert positions(table, "x", ("5",)).tolist() == [-1, 0, -1]
    assert ids(table, "x") == (b"\xff 1", b"5", b"\xc3")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], pa.int8()),
        ([1.0, None], pa.float32()),
        ([1.0, None], pa.float16()),
        ([decimal.Decimal("1.00"), None], pa.decimal128(5, 2)),
        ([True, None], pa.bool_()),
        (["1", None], pa.large_string()),
        (["1", None], pa.string_view()),
        (["1", None], pa.dictionary(pa.int32(), pa.string())),
    ],
)
def test_arrow_types_that_hold_numbers(values, kind):
    read = numbers(column(values, kind), "x")
    assert read.dtype == np.float64
    assert read[0] == 1
    assert np.isnan(read[1])
    assert blank(column(values, kind), "x").tolist() == [False, True]


def test_chunks_and_columns_of_nulls():
    table = pa.table({"x": pa.chunked_array([[1, 2], [3]]), "y": pa.nulls(3)})
    assert numbers(table, "x").tolist() == [1, 2, 3]
    assert np.isnan(numbers(table, "y")).all()
    assert positions(table, "y", ("1",)).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.date32(), pa.list_(pa.int8()), pa.binary()])
def test_types_that_hold_none(kind):
    table = column([None], kind)
    for read in (numbers, ids, lambda t, c: positions(t, c, ("1",))):
        with pytest.raises(DataError, match=r"column 'x' has type .*, which holds no .*; convert it"):
            read(table, "x")


@pytest.mark.parametrize("kind", [pa.float64(), pa.bool_(), pa.decimal128(5, 2)])
def test_fractions_are_no_ids(kind):
    with pytest.raises(DataError, match="holds no ids; convert it to whole numbers or text"):
        ids(column([None], kind), "x")


@pytest.mark.parametrize("values", [[1, -1, 7], [1.0, -1.0, 7.5], ["1", "-1.0", "x"], [" +1. ", "-1", ""]])
def test_one_code_has_one_spelling(values):
    assert positions(column(values), "x", ("-1", "1")).tolist() == [1, 0, -1]


def test_zero_has_no_sign():
    assert positions(column([-0.0, 0.0]), "x", ("0",)).tolist() == [0, 0]
    assert positions(column(["-0", "-00.0"]), "x", ("0",)).tolist() == [0, 0]


def test_ids_agree_between_types():
    assert ids(column([12, None]), "x") == ids(column([" 12 ", ""]), "x") == (b"12", b"")


def test_all_missing_columns_are_listed():
    with pytest.raises(DataError, match="the table lacks 2 columns: b, c; add or map them"):
        require_columns(["a"], ("a", "b", "c"), "the table")
    with pytest.raises(DataError, match="has the column more than once: a"):
        require_columns(["a", "a"], ("a",), "the table")
