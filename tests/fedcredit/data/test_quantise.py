import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.quantise import quantise_table
from fedcredit.dictionary.mapping import Mapping, identity_mapping, parse_mapping
from fedcredit.errors import DataError, DictionaryError

TABLE = pa.table(
    {
        "id": ["a", "b", "c", "", "e", "f"],
        "income": ["0", "150", "-9", "12", "5000", "x"],
        "delay": [0, 5, 9, -1, None, 3],
        "bad": [0, 1, 1, 0, 2, None],
    }
)


def test_values_labels_and_ids(small):
    q = quantise_table(small, "bank", identity_mapping(small, "bank"), TABLE)
    assert q.cells.dtype == np.uint16
    assert q.cells[:, 0].tolist() == [0, 2, 11, 1, 10, 11]
    assert q.cells[:, 1].tolist() == [0, 5, 5, 0, 6, 3]
    assert q.bad.tolist() == [0, 1, 1, 0, 0, 0]
    assert q.takes_part.tolist() == [True, True, True, False, False, False]
    assert q.ids == (b"a", b"b", b"c", b"", b"e", b"f")
    assert q.declared_role is None


def test_mapping_scales_values_but_not_codes(small):
    mapping = parse_mapping(
        b"""
features:
  income: {column: CENTS, scale: 0.01, codes: {none: null, low: 150, gone: -9}}
  delay: {column: D, codes: {late: 3, 9: 1}}
target: {column: T, good: [ok], bad: [bad, fraud]}
split: {column: S, train: [t], evaluate: [e]}
"""
    )
    table = pa.table(
        {
            "CENTS": ["15000", "-9", "none", "low", "gone", "-900"],
            "D": ["late", "9", "1", "", "8", "2"],
            "T": ["ok", "bad", "fraud", "ok", "maybe", "ok"],
            "S": ["t", "e", "t", "x", None, "e"],
        }
    )
    q = quantise_table(small, "bank", mapping, table)
    assert q.cells[:, 0].tolist() == [
        2,
        11,
        11,
        2,
        11,
        0,
    ]  # -900 cents are -9: a value below the range, not the code
    assert q.cells[:, 1].tolist() == [3, 1, 1, 6, 5, 2]
    assert q.bad.tolist() == [0, 1, 1, 0, 0, 0]
    assert q.takes_part.tolist() == [True, True, True, True, False, True]
    assert q.ids is None
    assert q.declared_role is not None
    assert q.declared_role.tolist() == [0, 1, 0, -1, -1, 1]


def test_categories(small):
    base = identity_mapping(small, "hospital")
    codes = base.features["sector"].model_copy(update={"codes": {"F": "1", "2": None, "1": "2"}})
    mapping = base.model_copy(update={"features": {**base.features, "sector": codes}})
    sector = ["1", "2", "other", "F", "x", "new", None, "1.0"]
    table = pa.table({"sector": sector, "income": [1] * 8, "bad": [0] * 8})
    assert quantise_table(small, "hospital", mapping, table).cells[:, 1].tolist() == [1, 3, 2, 0, 3, 3, 3, 1]
    assert quantise_table(small, "hospital", base, table).cells[:, 1].tolist() == [0, 1, 2, 3, 3, 3, 3, 0]


def test_structural_faults_raise(small):
    mapping = identity_mapping(small, "bank")
    with pytest.raises(DataError, match="the table lacks 2 columns: delay, bad"):
        quantise_table(small, "bank", mapping, TABLE.select(["id", "income"]))
    dated = TABLE.set_column(2, "delay", pa.array([0] * 6, pa.timestamp("s")))
    with pytest.raises(DataError, match=r"column 'delay' has type timestamp\[s\], which holds no numbers"):
        quantise_table(small, "bank", mapping, dated)
    with pytest.raises(DictionaryError, match="sector: no column is mapped to it"):
        quantise_table(small, "hospital", mapping, TABLE)


def test_a_table_without_valid_labels_or_bad_cases_is_like_any_other(small):
    mapping = identity_mapping(small, "bank")
    for labels in ([9] * 6, [0] * 6, [None] * 6):
        table = TABLE.set_column(3, "bad", pa.array(labels, pa.int64()))
        assert quantise_table(small, "bank", mapping, table).cells.shape == (6, 2)


values = st.text(max_size=5) | st.floats().map(str) | st.integers(-10, 2000).map(str) | st.none()


@given(st.lists(st.tuples(values, values, values, values), min_size=1, max_size=8))
def test_no_value_raises_and_each_row_stands_alone(small_dictionary, rows):
    mapping = identity_mapping(small_dictionary, "bank")
    whole = quantise_table(small_dictionary, "bank", mapping, text_table(mapping, rows))
    for i, row in enumerate(rows):
        alone = quantise_table(small_dictionary, "bank", mapping, text_table(mapping, [row]))
        assert np.array_equal(whole.cells[i], alone.cells[0])
        assert (whole.bad[i], whole.takes_part[i]) == (alone.bad[0], alone.takes_part[0])
        assert (whole.ids or ())[i] == (alone.ids or ())[0]


def text_table(mapping: Mapping, rows: list[tuple[str | None, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({c: pa.array(v, pa.string()) for c, v in zip(mapping.columns, columns, strict=True)})
