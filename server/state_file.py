"""The coordinator's SQLite file: opened by its commands and its dispatcher side by side, every change fsynced."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fedcredit.errors import ConfigError, JobError
from fedcredit.write_ahead import BUSY_TIMEOUT_S, use_write_ahead_log

# A command waits this long for the dispatcher, and the dispatcher for a command.
_BUSY_TIMEOUT_S = BUSY_TIMEOUT_S


def open_state(path: Path, schema: Sequence[str]) -> sqlite3.Connection:
    """Open the file, made with mode 0600 if it does not exist.

    Parameters
    ----------
    schema
        ``CREATE TABLE IF NOT EXISTS`` statements.

    Raises
    ------
    ConfigError
        If it cannot be made or written, or is no such file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        return _connected(path, schema)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"queue {path} cannot be used ({error}); check the state folder's owner, rights and free space, or "
            "restore the file from a backup."
        ) from error


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it is on the disk when the block ends, or nothing.

    Raises
    ------
    JobError
        If the file cannot be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            _roll_back(connection)
            raise
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        _roll_back(connection)
        raise JobError(
            f"the queue cannot be written ({error}); check the state folder's rights and free space."
        ) from error


def _connected(path: Path, schema: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        use_write_ahead_log(connection, _BUSY_TIMEOUT_S)
        connection.execute("PRAGMA synchronous=FULL")
        for statement in schema:
            connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make an empty file. One that exists is not even opened: closing it would drop this process's locks on it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has rolled back by itself after some errors, such as a full disk.
    if connection.in_transaction:
        connection.execute("ROLLBACK")
