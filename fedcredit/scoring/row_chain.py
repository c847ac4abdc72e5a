"""A SQLite table that only grows, each row bound to the one before by a hash.

The chain is that of hash-linked time stamps (Haber & Stornetta 1991). It shows a row that was changed, taken out or put
in between. Whoever may write the file can cut its end off, or write it anew from some row on; both change the newest
hash, so a copy of that kept elsewhere shows them, and so does a process that had the file open meanwhile.

Triggers keep plain SQL from changing a row by mistake, ``REPLACE`` included, which fires no trigger of a deletion.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.wire.canonical import canonical_json, digest


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One writer at a time; all of the block's statements, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@dataclass(frozen=True, slots=True)
class End:
    """Where a chain ends.

    Attributes
    ----------
    number
        Of its last row, from 1; 0 where there is none.
    hash
        That row's, hex; empty where there is none.
    """

    number: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class RowChain:
    """One table's form; every name in it is a constant of the code.

    Attributes
    ----------
    table
        Its name.
    tag
        Domain tag of its hashes.
    columns
        Name and SQL type of each value, in the order in which they are hashed.
    once
        Columns whose values together may stand in one row only.
    more
        Further SQL, such as indices.
    """

    table: str
    tag: str
    columns: tuple[tuple[str, str], ...]
    once: tuple[str, ...]
    more: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, the row's number first and its hash last."""
        return ("seq", *(name for name, _ in self.columns), "hash")

    def begin(self, connection: sqlite3.Connection) -> None:
        """Make the table where there is none.

        Raises
        ------
        ConfigError
            If there is one with other columns.
        """
        connection.executescript(self._schema())
        found = tuple(row[1] for row in connection.execute(f"PRAGMA table_info({self.table})"))
        if found != self.names:
            raise ConfigError("it has other columns than this version's")

    def end(self, connection: sqlite3.Connection) -> End:
        """The end as the file says it; its row is checked against the one before it."""
        rows = self._rows(connection, "ORDER BY seq DESC LIMIT 2")
        last = next(rows, None)
        if last is None:
            return End()
        before = next(rows, None)
        head = "" if before is None else before[-1]
        if last[0] != (0 if before is None else before[0]) + 1 or self._hash(head, last[1:-1]) != last[-1]:
            raise ConfigError("its last row was changed, or one is missing")
        return End(last[0], last[-1])

    def append(self, connection: sqlite3.Connection, known: End, rows: Iterable[Sequence[Any]]) -> End:
        """Append rows, within the caller's transaction.

        Parameters
        ----------
        known
            An end that this process has seen; others may have written since.

        Raises
        ------
        ConfigError
            If the row that was the last then is not there any more.
        sqlite3.Error
            If the file cannot be written; IntegrityError if a row stands there already.
        """
        end = self._last(connection)
        if end != known:
            # Another process has written since, or somebody has cut the file back.
            self.require_still(connection, known)
        places = ", ".join("?" * len(self.names))
        statement = f"INSERT INTO {self.table} ({', '.join(self.names)}) VALUES ({places})"  # noqa: S608 - constants
        number, head = end.number, end.hash

        def chained() -> Iterator[tuple[Any, ...]]:
            nonlocal number, head
            for values in rows:
                number, head = number + 1, self._hash(head, values)
                yield (number, *values, head)

        connection.executemany(statement, chained())
        return End(number, head)

    def _last(self, connection: sqlite3.Connection) -> End:
        query = f"SELECT seq, hash FROM {self.table} ORDER BY seq DESC LIMIT 1"  # noqa: S608 - constants
        row = connection.execute(query).fetchone()
        return End() if row is None else End(*row)

    def require_still(self, connection: sqlite3.Connection, known: End) -> None:
        """Refuse a file that was cut back or written anew since its end was seen.

        Raises
        ------
        ConfigError
            If it was.
        """
        if known.number == 0:
            return
        row = connection.execute(f"SELECT hash FROM {self.table} WHERE seq = ?", (known.number,)).fetchone()  # noqa: S608
        if row is None or row[0] != known.hash:
            raise ConfigError(f"it was cut back or changed while it was open: row {known.number} is not what it was")

    def verified(self, connection: sqlite3.Connection) -> End:
        """Check every row; the end.

        Raises
        ------
        ConfigError
            At the first row that does not hold.
        """
        end = End()
        for number, *values, stated in self._rows(connection, "ORDER BY seq"):
            end = End(end.number + 1, self._hash(end.hash, values))
            if (number, stated) != (end.number, end.hash):
                raise ConfigError(f"row {end.number} does not hold: a row was changed or taken out")
        return end

    def require_row(self, connection: sqlite3.Connection, number: int) -> None:
        """Check one row against the one before it.

        Raises
        ------
        ConfigError
            If it does not hold.
        """
        rows = {row[0]: row for row in self._rows(connection, "WHERE seq IN (?, ?)", (number - 1, number))}
        before, row = rows.get(number - 1), rows.get(number)
        alone = before is None and number > 1
        if row is None or alone or self._hash(before[-1] if before else "", row[1:-1]) != row[-1]:
            raise ConfigError(f"row {number} does not hold: it was changed, or the one before it was")

    def holds(self, connection: sqlite3.Connection, head: str) -> bool:
        """Whether a hash that somebody wrote down is a row's."""
        query = f"SELECT 1 FROM {self.table} WHERE hash = ? LIMIT 1"  # noqa: S608 - constants
        return connection.execute(query, (head,)).fetchone() is not None

    def _hash(self, head: str, values: Sequence[Any]) -> str:
        return digest(self.tag, head.encode(), canonical_json(list(values))).hex()

    def _rows(
        self, connection: sqlite3.Connection, which: str, values: tuple[int, ...] = ()
    ) -> Iterator[tuple[Any, ...]]:
        query = f"SELECT {', '.join(self.names)} FROM {self.table} {which}"  # noqa: S608 - constants
        return iter(connection.execute(query, values))

    def _schema(self) -> str:
        table = self.table
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns)
        same = " AND ".join(f"{name} IS NEW.{name}" for name in self.once)
        return f"""
            CREATE TABLE IF NOT EXISTS {table} (
              seq INTEGER PRIMARY KEY, {columns}, hash TEXT NOT NULL, UNIQUE ({", ".join(self.once)})
            );
            CREATE TRIGGER IF NOT EXISTS {table}_stays BEFORE UPDATE ON {table}
            BEGIN SELECT RAISE(ABORT, 'a row is never changed'); END;
            CREATE TRIGGER IF NOT EXISTS {table}_remains BEFORE DELETE ON {table}
            BEGIN SELECT RAISE(ABORT, 'a row is never deleted'); END;
            CREATE TRIGGER IF NOT EXISTS {table}_follows BEFORE INSERT ON {table}
            WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM {table})
              OR EXISTS (SELECT 1 FROM {table} WHERE {same})
            BEGIN SELECT RAISE(ABORT, 'a row is never replaced'); END;
            {self.more}
        """  # noqa: S608 - constants
