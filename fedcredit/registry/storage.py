"""The registry's file: append-only entries in SQLite, one writer at a time, every write on the disk."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fedcredit.errors import LedgerError
from fedcredit.registry.entries import Entry, require_chain

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
  number INTEGER PRIMARY KEY, body BLOB NOT NULL, signature BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER IF NOT EXISTS entry_remains BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;
"""


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Every entry, oldest first; none where there is no file yet.

    Raises
    ------
    LedgerError
        If the file is no registry, or its chain or a signature does not hold.
    """
    if not path.exists():
        return ()
    try:
        with closing(sqlite3.connect(path)) as connection:
            entries = _entries(connection)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    require_chain(entries, str(path))
    return entries


def append(path: Path, write: Callable[[tuple[Entry, ...]], Entry]) -> Entry:
    """Append what `write` makes of the entries so far; nobody else writes in between.

    Raises
    ------
    LedgerError
        If the file is no registry, does not hold, or cannot be written.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            entries = _entries(connection)
            require_chain(entries, str(path))
            entry = write(entries)
            values = (entry.number, entry.body, entry.signature)
            connection.execute("INSERT INTO entry VALUES (?, ?, ?)", values)
            connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    return entry


def _entries(connection: sqlite3.Connection) -> tuple[Entry, ...]:
    rows = connection.execute("SELECT number, body, signature FROM entry ORDER BY number").fetchall()
    return tuple(Entry(number, bytes(body), bytes(signature)) for number, body, signature in rows)


def _unusable(path: Path, error: Exception) -> LedgerError:
    return LedgerError(f"registry {path} cannot be used ({error}); check its disk, owner and mode, or name another.")
