"""The ledger's file on disk: made once, readable by its owner only, held by one process at a time."""

import fcntl
import os
import sqlite3
from pathlib import Path

from fedcredit.errors import LedgerError

SCHEMA = """
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  plan_hash BLOB, role INTEGER, round INTEGER, attempt INTEGER, request_hash BLOB,
  body BLOB NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL, signature BLOB NOT NULL,
  message BLOB,
  UNIQUE (kind, plan_hash, role, round, attempt)
) STRICT
"""


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the database; every commit is fsynced before it returns. None keeps it in memory."""
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


class Transaction:
    """BEGIN IMMEDIATE … COMMIT, rolled back on any error, also on one of COMMIT itself.

    A transaction left open would show its rows to this connection as if they were durable.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                self._connection.execute("COMMIT")
        finally:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def create_owner_only(path: Path) -> None:
    """Make an empty file with mode 0600.

    Raises
    ------
    LedgerError
        If it exists, or its folder does not.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError as error:
        raise LedgerError(f"ledger {path} exists already; it is never overwritten.") from error
    except FileNotFoundError as error:
        raise LedgerError(f"folder {path.parent} does not exist; create it before opening a ledger there.") from error


def acquire(path: Path) -> int:
    """Take the lock file beside the ledger; the descriptor holds it until it is closed.

    Raises
    ------
    LedgerError
        If another process holds it.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(f"ledger {path} is in use by another custodian; stop that one first.") from error
    return descriptor
