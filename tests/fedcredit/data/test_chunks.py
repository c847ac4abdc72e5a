"""A table read a part at a time is the table read at once, from every source, and faults come when their turn does."""

import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.columns import positions
from fedcredit.data.sources import CsvSource, ParquetSource, TableSource
from fedcredit.data.sql import SqlSource
from fedcredit.errors import DataError

ROWS = 3000
TABLE = pa.table({"a": [str(i) for i in range(ROWS)], "b": ["long text " * 9] * ROWS, "c": ["x", None] * (ROWS // 2)})


@pytest.fixture(params=["csv", "parquet", "table", "sqlite"])
def source(request, tmp_path):
    path = tmp_path / f"t.{request.param}"
    if request.param == "csv":
        lines = [f"{a},{b},{c or ''}" for a, b, c in zip(*TABLE.to_pydict().values(), strict=True)]
        path.write_text("a,b,c\n" + "\n".join(lines) + "\n")
        return CsvSource(path)
    if request.param == "parquet":
        pq.write_table(TABLE, path)
        return ParquetSource(path)
    if request.param == "table":
        return TableSource(TABLE)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a TEXT, b TEXT, c TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", zip(*TABLE.to_pydict().values(), strict=True))
    connection.commit()
    connection.close()
    return SqlSource(f"sqlite:///{path}", "t")


def test_parts_join_to_the_whole(source):
    parts = list(source.chunks(["c", "a"], 500))
    assert len(parts) > 2
    assert max(part.table.num_rows for part in parts) < ROWS
    whole = pa.concat_tables([part.table for part in parts])
    assert whole.to_pydict() == source.read(["c", "a"]).to_pydict()
    shares = [part.done for part in parts]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # CSV is read ahead of what is asked for, and this one is short.
    assert shares[0] < 1.0 or isinstance(source, CsvSource)


def test_a_missing_column_is_named_before_anything_is_read(source):
    with pytest.raises(DataError, match="lacks the column: y"):
        next(iter(source.chunks(["a", "y"], 500)))


def test_a_broken_line_far_down_is_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,some words that are long enough\n" * 20_000 + "1,2,3\n")
    parts = CsvSource(path).chunks(["a"], 100)
    assert next(parts).table.num_rows
    with pytest.raises(DataError, match="1 rows do not have as many fields"):
        list(parts)


def test_no_rows_are_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    with pytest.raises(DataError, match="has no rows"):
        list(CsvSource(path).chunks(["a"], 100))
    with pytest.raises(DataError, match="has no rows"):
        list(TableSource(TABLE.slice(0, 0)).chunks(["a"], 100))
    pq.write_table(TABLE.slice(0, 0), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="has no rows"):
        list(ParquetSource(tmp_path / "t.parquet").chunks(["a"], 100))


def test_a_long_file_is_not_kept_in_memory(tmp_path):
    numbers = pa.table({name: np.random.default_rng(0).random(20_000) for name in "abc"})
    with pq.ParquetWriter(tmp_path / "t.parquet", numbers.schema) as writer:
        for _ in range(40):
            writer.write_table(numbers)
    before, rows, highest = pa.total_allocated_bytes(), 0, 0
    for part in ParquetSource(tmp_path / "t.parquet").chunks(["a", "b", "c"], 5000):
        rows += part.table.num_rows
        highest = max(highest, pa.total_allocated_bytes() - before)
    assert rows == 40 * numbers.num_rows
    assert highest < 5 * numbers.nbytes


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint8(), pa.uint64()])
def test_whole_numbers_have_the_positions_of_their_texts(kind):
    """Integer columns take a shorter way through `positions`; their texts take the old one."""
    codes = ("1", "01", "0", "-0", "-1", "300", "5000000000", "1", "1.0", "x", "18446744073709551615", "9" * 30)
    numbers = pa.array([1, 0, 2, None, 127], kind)
    if kind == pa.uint64():
        numbers = pa.concat_arrays([numbers, pa.array([2**64 - 1, 300], kind)])
    if kind == pa.int64():
        numbers = pa.concat_arrays([numbers, pa.array([-1, 5_000_000_000], kind)])
    table = pa.table({"n": numbers, "t": numbers.cast(pa.string())})
    assert positions(table, "n", codes).tolist() == positions(table, "t", codes).tolist()
    assert positions(table, "n", ("x",)).tolist() == [-1] * len(numbers)
