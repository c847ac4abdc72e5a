"""A user's own table for tests: some rows of the packaged data as a CSV or Parquet file, with its dictionary."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from fedcredit.data import uci
from fedcredit.data.uci import load_uci

DICTIONARY = Path(uci.__file__).with_name("uci_credit.yaml")


def rows(n: int = 2000) -> pa.Table:
    return load_uci().slice(0, n)


def changed(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array(values))


def write(path: Path, table: pa.Table) -> Path:
    writers = {".csv": pa_csv.write_csv, ".parquet": pa_parquet.write_table}
    writers[path.suffix](table, path)
    return path


def overrides(path: Path) -> list[str]:
    return ["data=file", f"data.path={path}", f"data.dictionary={DICTIONARY}", "compare=false"]
