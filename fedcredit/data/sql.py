"""Tables in a database, through ADBC straight into Arrow: SQLite files and PostgreSQL.

Only the declared columns are selected, by quoted identifiers. SQLite stores a type per value, so its columns
are read as text; a driver that guessed types from the first rows would let a record decide whether reading
fails.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

import pyarrow as pa

from fedcredit.data.chunks import Chunk
from fedcredit.data.columns import require_columns
from fedcredit.data.sql_uri import DRIVERS, sqlite_path, uri_problem
from fedcredit.errors import ConfigError, DataError


class SqlSource:
    """One table or view.

    Parameters
    ----------
    uri
        ``sqlite:///path/to/file.db`` or ``postgresql://user@host/database``. PostgreSQL takes a password from
        its own password file or environment (``PGPASSFILE``, ``PGPASSWORD``).
    table
        Name of the table, unquoted.
    db_schema
        Name of the schema, unquoted; None for the database's default.
    """

    def __init__(self, uri: str, table: str, db_schema: str | None = None) -> None:
        problem = uri_problem(uri)
        if problem:
            raise ConfigError(problem)
        self._uri = uri
        self._table = table
        self._schema = db_schema
        self._sqlite = urlsplit(uri).scheme == "sqlite"

    def column_types(self) -> dict[str, str]:
        """Return the columns' names and declared types."""
        with self._cursor() as cursor:
            # No row satisfies this: names come from the database's catalogue.
            cursor.execute(f"SELECT * FROM {self._quoted_table()} WHERE 1 = 0")  # noqa: S608 - quoted identifier
            schema = cursor.fetch_arrow_table().schema
        return {field.name: "text" if self._sqlite else str(field.type) for field in schema}

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Select the named columns."""
        require_columns(list(self.column_types()), columns, f"table {self._table!r}")
        with self._cursor() as cursor:
            cursor.execute(select_statement(self._quoted_table(), columns, as_text=self._sqlite))
            table: pa.Table = cursor.fetch_arrow_table()
        if table.num_rows == 0:
            raise DataError(f"table {self._table!r} has no rows; check the query or the load")
        return table

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """Select the named columns and take about `rows` rows at a time."""
        require_columns(list(self.column_types()), columns, f"table {self._table!r}")
        with self._cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) AS n FROM {self._quoted_table()}")  # noqa: S608 - quoted identifier
            total, read = int(cursor.fetch_arrow_table().column(0)[0].as_py()), 0
            cursor.execute(select_statement(self._quoted_table(), columns, as_text=self._sqlite))
            for batch in cursor.fetch_record_batch():
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    read += part.num_rows
                    yield Chunk(pa.Table.from_batches([part]), min(read / max(total, 1), 1.0))
        if not read:
            raise DataError(f"table {self._table!r} has no rows; check the query or the load")

    def _quoted_table(self) -> str:
        return ".".join(quoted(part) for part in (self._schema, self._table) if part)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        driver = _driver(urlsplit(self._uri).scheme)
        try:
            with driver.connect(_location(self._uri)) as connection, connection.cursor() as cursor:
                yield cursor
        except driver.Error as fault:
            reason = str(fault).splitlines()[0]
            raise DataError(
                f"the database does not give table {self._table!r}: {reason}; check uri and table"
            ) from None


def select_statement(table: str, columns: Sequence[str], *, as_text: bool) -> str:
    """Spell out a SELECT of the named columns.

    Parameters
    ----------
    table
        Quoted name.
    columns
        Unquoted names.
    as_text
        Cast every column to text.
    """
    names = [quoted(column) for column in columns]
    items = [f"CAST({name} AS TEXT) AS {name}" for name in names] if as_text else names
    return f"SELECT {', '.join(items)} FROM {table}"  # noqa: S608 - quoted identifiers


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _location(uri: str) -> str:
    """Return what the driver wants: a read-only file URI for SQLite, the URI itself for PostgreSQL."""
    if urlsplit(uri).scheme != "sqlite":
        return uri
    path = sqlite_path(uri)
    if not path.is_file():
        raise DataError(f"there is no file {path}; check the uri (sqlite:////absolute/path has four slashes)")
    return f"file:{quote(str(path))}?mode=ro"


def _driver(scheme: str) -> Any:  # noqa: ANN401 - the drivers ship no types
    try:
        return import_module(DRIVERS[scheme])
    except ImportError:
        raise ConfigError("reading a database needs the extra `sql`; install fedcredit[sql]") from None
