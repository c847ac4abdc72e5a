from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import (
    CsvSource,
    CsvSpec,
    ParquetSource,
    SqlSpec,
    TableSource,
    open_source,
    parse_source,
    spec_of,
)
from fedcredit.data.sql import SqlSource
from fedcredit.errors import ConfigError, DataError

TABLE = pa.table({"a": ["1", None], "b": ["x,y", "z"], "c": ["3", "4"]})


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b,c\n1,"x,y",3\n,z,4\n')
    return path


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path)
    return path


def test_every_source_gives_the_columns_asked_for(csv, parquet):
    for source in (CsvSource(csv), ParquetSource(parquet), TableSource(TABLE)):
        assert source.read(["c", "a"]).to_pydict() == {"c": ["3", "4"], "a": ["1", None]}
        assert list(source.column_types()) == ["a", "b", "c"]


def test_every_source_lists_all_missing_columns(csv, parquet):
    for source in (CsvSource(csv), ParquetSource(parquet), TableSource(TABLE)):
        with pytest.raises(DataError, match="lacks 2 columns: y, z; add or map them"):
            source.read(["a", "y", "z"])


def test_csv_types_do_not_depend_on_values(tmp_path):
    for body in ("1,2\n", "x,2020-01-01\n", ",\n"):
        path = tmp_path / "t.csv"
        path.write_text("a,b\n" + body)
        table = CsvSource(path).read(["a", "b"])
        assert {str(field.type) for field in table.schema} == {"string"}


def test_csv_takes_foreign_bytes_line_breaks_and_other_delimiters(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'a;b\n"1\n2";\xff\n')
    assert CsvSource(path, ";").read(["a"]).to_pydict() == {"a": ["1\n2"]}
    assert CsvSource(path, ";").read(["b"]).num_rows == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; export it again"),
        (b"a,b\n", "has no rows; check the export"),
        (b"a,a\n1,2\n", "has the column more than once: a; rename the copies"),
        (
            b"a,b\n1,2\nsecret,2,3\nsecret\n",
            "2 rows do not have as many fields as the header; check the delimiter ','",
        ),
        (b"x\n1\n", "lacks the column: a; add or map it|lacks the column: a"),
    ],
)
def test_bad_csv_files(tmp_path, content, sentence):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        CsvSource(path).read(["a"])
    assert "secret" not in str(caught.value)


def test_bad_parquet_files(tmp_path, parquet):
    with pytest.raises(DataError, match=r"there is no file .*none\.parquet; check the path"):
        ParquetSource(tmp_path / "none.parquet").column_types()
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(parquet.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a Parquet file"):
        ParquetSource(broken).read(["a"])
    pq.write_table(TABLE.slice(0, 0), broken)
    with pytest.raises(DataError, match="has no rows"):
        ParquetSource(broken).read(["a"])


def test_damaged_parquet_pages(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [str(i) for i in range(10_000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged; export it again"):
        ParquetSource(path).read(["a"])


def test_only_the_declared_parquet_columns_are_read(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1] * 10_000, "secret": [str(i) for i in range(10_000)]}), path)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(1).dictionary_page_offset
    content[start : start + 5000] = bytes(5000)
    path.write_bytes(content)
    assert ParquetSource(path).read(["a"]).num_rows == 10_000


def test_specs_open_their_sources(csv, parquet):
    assert isinstance(open_source(spec_of(str(csv))), CsvSource)
    assert isinstance(open_source(spec_of(str(parquet))), ParquetSource)
    sql = spec_of("sqlite:///loans.db#loans")
    assert sql == SqlSpec(kind="sql", uri="sqlite:///loans.db", table="loans")
    assert isinstance(open_source(sql), SqlSource)
    assert open_source(parse_source({"kind": "csv", "path": str(csv)})).read(["a"]).num_rows == 2


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"kind": "csv"}, "path: is missing; add it"),
        (
            {"kind": "csv", "path": "t", "delimiter": ";;"},
            "delimiter: String should have at most 1 character",
        ),
        ({"kind": "excel", "path": "t"}, "does not match any of the expected tags"),
        ({"kind": "csv", "path": "t", "colour": 1}, "colour: is not a known key"),
        ({"kind": "sql", "uri": "mysql://h/d", "table": "t"}, "databases of kind 'mysql' are not supported"),
    ],
)
def test_bad_specs(document, sentence):
    with pytest.raises(ConfigError) as caught:
        parse_source(document)
    assert sentence in str(caught.value)


def test_passwords_are_refused_and_not_repeated():
    for uri in ("postgresql://u:hunter2@h/d", "postgresql://h/d?password=hunter2"):
        with pytest.raises(ConfigError, match="the uri holds a password; remove it") as caught:
            parse_source({"kind": "sql", "uri": uri, "table": "t"})
        assert "hunter2" not in str(caught.value)


def test_unknown_table_arguments():
    with pytest.raises(ConfigError, match=r"cannot tell what 'loans\.xlsx' is; give a \.csv or \.parquet file"):
        spec_of("loans.xlsx")
    with pytest.raises(ConfigError, match="table"):
        spec_of("sqlite:///loans.db")


def test_paths_can_be_taken_from_a_folder():
    folder = Path("/data")
    assert CsvSpec(kind="csv", path=Path("t.csv")).relative_to(folder).path == Path("/data/t.csv")
    spec = SqlSpec(kind="sql", uri="sqlite:///a b.db", table="t").relative_to(folder)
    assert spec.uri == "sqlite:////data/a%20b.db"
    kept = SqlSpec(kind="sql", uri="postgresql://h/d", table="t")
    assert kept.relative_to(folder) == kept
