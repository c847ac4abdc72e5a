"""Where an institution's table comes from: CSV, Parquet, a database, or memory, behind one small protocol.

A source reads only the columns that it is asked for, and never guesses types from values: CSV and SQLite give
text, which quantisation reads by the dictionary. So neither a type nor an error depends on a record.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from pydantic import TypeAdapter, ValidationError

from fedcredit.data.chunks import Chunk
from fedcredit.data.columns import require_columns
from fedcredit.data.source_spec import CsvSpec, ParquetSpec, SourceSpec, SqlSpec
from fedcredit.data.sql import SqlSource
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.errors import ConfigError, DataError

Read = TypeVar("Read")
# A line of a credit table with its two dozen columns.
_CSV_BYTES_PER_ROW = 128


class Source(Protocol):
    """A table that can be read by columns."""

    def column_types(self) -> dict[str, str]:
        """Return each column's name and its type in words, without reading rows."""

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read all rows of the named columns, each once, in the order given.

        Raises
        ------
        DataError
            The table cannot be read, lacks a column, or has no rows.
        """

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """Read the same a part at a time, in the table's order, in bounded memory.

        Parameters
        ----------
        rows
            About so many rows a part.

        Raises
        ------
        DataError
            As `read` does; rows that cannot be read raise when their turn comes.
        """


class CsvSource:
    """A CSV file with a header row; every column is text.

    Parameters
    ----------
    path
        UTF-8 file.
    delimiter
        One character.
    """

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        self._path = path
        self._delimiter = delimiter

    def column_types(self) -> dict[str, str]:
        """Return the names in the header, each of type ``text``."""
        return dict.fromkeys(self._header(), "text")

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read the named columns as text; an empty field is null."""
        require_columns(self._header(), columns, f"file {self._path}")
        broken: list[object] = []
        table = self._guarded(lambda: pa_csv.read_csv(self._path, None, self._parse(broken), _as_text(columns)))
        self._require_whole(broken)
        return _not_empty(table, f"file {self._path}")

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """Read the file in parts of about `rows` lines."""
        require_columns(self._header(), columns, f"file {self._path}")
        broken: list[object] = []
        size, read = max(self._path.stat().st_size, 1), False
        options = pa_csv.ReadOptions(block_size=max(rows * _CSV_BYTES_PER_ROW, 2**16))
        with self._path.open("rb") as file:
            reader = self._guarded(lambda: pa_csv.open_csv(file, options, self._parse(broken), _as_text(columns)))
            while (batch := self._guarded(lambda: next(reader, None))) is not None:
                self._require_whole(broken)
                if batch.num_rows:
                    read = True
                    yield Chunk(pa.Table.from_batches([batch]), min(file.tell() / size, 1.0))
        if not read:
            raise _no_rows(f"file {self._path}")

    def _require_whole(self, broken: list[object]) -> None:
        if broken:
            raise DataError(
                f"file {self._path}: {len(broken)} rows do not have as many fields as the header; "
                f"check the delimiter {self._delimiter!r} and the quotes"
            )

    def _header(self) -> list[str]:
        _require_file(self._path)
        # The first line as data without a header: names may then repeat, which `require_columns` reports.
        options = pa_csv.ReadOptions(autogenerate_column_names=True)
        convert = pa_csv.ConvertOptions(check_utf8=False, auto_dict_encode=False)

        def first_line() -> pa.Table:
            with pa_csv.open_csv(self._path, options, self._parse([]), convert) as reader:
                return pa.Table.from_batches([reader.read_next_batch().slice(0, 1)])

        return [str(value) for value in self._guarded(first_line).to_pylist()[0].values()]

    def _parse(self, broken: list[object]) -> pa_csv.ParseOptions:
        def skip(row: object) -> Literal["skip"]:
            broken.append(row)
            return "skip"

        return pa_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=skip)

    def _guarded(self, read: Callable[[], Read]) -> Read:
        try:
            return read()
        except (pa.ArrowException, OSError):
            # pyarrow's text may quote a row: it is not repeated.
            raise DataError(f"file {self._path} cannot be read as CSV; check delimiter and quotes") from None


class ParquetSource:
    """A Parquet file.

    Parameters
    ----------
    path
        One file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def column_types(self) -> dict[str, str]:
        """Return the columns' names and Arrow types, from the file's footer."""
        return _types(self._opened().schema_arrow)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read the named columns; the others are not touched."""
        file = self._opened()
        require_columns(file.schema_arrow.names, columns, f"file {self._path}")
        try:
            table = file.read(columns=list(columns))
        except (pa.ArrowException, OSError):
            raise DataError(f"file {self._path} is damaged; export it again") from None
        return _not_empty(table.select(list(columns)), f"file {self._path}")

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """Read the named columns `rows` rows at a time."""
        file = self._opened()
        require_columns(file.schema_arrow.names, columns, f"file {self._path}")
        read, total = 0, file.metadata.num_rows
        try:
            # A group at a time: over the whole file Arrow would keep what it has read.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(rows, row_groups=[group], columns=list(columns)):
                    read += batch.num_rows
                    yield Chunk(pa.Table.from_batches([batch]).select(list(columns)), read / total)
        except (pa.ArrowException, OSError):
            raise DataError(f"file {self._path} is damaged; export it again") from None
        if not read:
            raise _no_rows(f"file {self._path}")

    def _opened(self) -> Any:  # noqa: ANN401
        _require_file(self._path)
        try:
            return pa_parquet.ParquetFile(self._path)
        except (pa.ArrowException, OSError):
            raise DataError(f"file {self._path} is not a Parquet file; export it again or use kind csv") from None


class TableSource:
    """An Arrow table in memory.

    Parameters
    ----------
    table
        The data.
    name
        Name for messages.
    """

    def __init__(self, table: pa.Table, name: str = "the table") -> None:
        self._table = table
        self._name = name

    def column_types(self) -> dict[str, str]:
        """Return the columns' names and Arrow types."""
        return _types(self._table.schema)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return the named columns."""
        require_columns(self._table.column_names, columns, self._name)
        return _not_empty(self._table.select(list(columns)), self._name)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """Return slices of the named columns."""
        table = self.read(columns)
        for start in range(0, table.num_rows, rows):
            yield Chunk(table.slice(start, rows), min((start + rows) / table.num_rows, 1.0))


def parse_source(document: object, what: str = "source") -> CsvSpec | ParquetSpec | SqlSpec:
    """Validate the description of a source.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    adapter: TypeAdapter[CsvSpec | ParquetSpec | SqlSpec] = TypeAdapter(SourceSpec)
    try:
        return adapter.validate_python(document)
    except ValidationError as fault:
        raise ConfigError(listed(what, validation_problems(fault, document))) from None


def spec_of(text: str) -> CsvSpec | ParquetSpec | SqlSpec:
    """Read a command-line argument: a ``.csv`` or ``.parquet`` path, or ``URI#table``.

    Raises
    ------
    ConfigError
        Neither.
    """
    if "://" in text:
        uri, _, table = text.partition("#")
        return parse_source({"kind": "sql", "uri": uri, "table": table}, "table argument")
    kinds = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
    suffix = Path(text).suffix.lower()
    if suffix not in kinds:
        raise ConfigError(f"cannot tell what {text!r} is; give a .csv or .parquet file, or a database URI#table")
    return parse_source({"kind": kinds[suffix], "path": text}, "table argument")


def open_source(spec: CsvSpec | ParquetSpec | SqlSpec) -> Source:
    """Return the source that a specification describes; nothing is read yet."""
    match spec:
        case CsvSpec():
            return CsvSource(spec.path, spec.delimiter)
        case ParquetSpec():
            return ParquetSource(spec.path)
        case SqlSpec():
            return SqlSource(spec.uri, spec.table, spec.db_schema)


def _require_file(path: Path) -> None:
    try:
        if not path.is_file():
            raise DataError(f"there is no file {path}; check the path")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(
            f"file {path} cannot be read ({error.strerror}); let this account read it, and pass through its folders"
        ) from None
    if empty:
        raise DataError(f"file {path} is empty; export it again")


def _not_empty(table: pa.Table, where: str) -> pa.Table:
    if table.num_rows == 0:
        raise _no_rows(where)
    return table


def _no_rows(where: str) -> DataError:
    return DataError(f"{where} has no rows; check the export")


def _as_text(columns: Sequence[str]) -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        check_utf8=False,
    )


def _types(schema: Any) -> dict[str, str]:  # noqa: ANN401
    return {field.name: str(field.type) for field in schema}
