"""The ledger's file on disk: made once, readable by its owner only, written by one process at a time, read by others.

What the disk or the file system refuses comes back as one sentence, and leaves the file as it was.
"""

import fcntl
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger_counter import sync_folder
from fedcredit.write_ahead import BUSY_TIMEOUT_S, use_write_ahead_log

SCHEMA = (
    """
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  plan_hash BLOB, role INTEGER, round INTEGER, attempt INTEGER, request_hash BLOB,
  body BLOB NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL, signature BLOB NOT NULL,
  message BLOB,
  UNIQUE (kind, plan_hash, role, round, attempt)
) STRICT
""",
    # The units that a join entered for the first time in its epoch; the join's event has their salted digest.
    "CREATE TABLE unit (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL, hashes BLOB NOT NULL) STRICT",
)
# Primary result codes of SQLite that say nothing about the file's content.
_ELSEWHERE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the database; every commit is fsynced before it returns. None keeps it in memory."""
    connection = sqlite3.connect(
        path or ":memory:", timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open the database as it stands now, beside a custodian that writes it."""
    uri = f"file:{quote(os.fspath(path.resolve()))}?mode=ro"
    # On a read-only disk SQLite cannot share the file; without a log beside it, nobody is writing.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    connection = sqlite3.connect(
        uri + ("&immutable=1" if alone else ""), uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM event")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def check_whole(connection: sqlite3.Connection) -> None:
    """Look at every page: an index that lost an entry would let one message be charged, and sent, twice.

    Raises
    ------
    LedgerError
        If a page is not what it should be.
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise LedgerError(f"the ledger is damaged ({found.splitlines()[-1]}); restore its newest backup.")


def check_writable(connection: sqlite3.Connection) -> None:
    """Take the writer's place for a moment; SQLite says what is wrong if it cannot be had."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def fault(what: str, error: sqlite3.Error) -> LedgerError:
    """What an error of SQLite means for its operator."""
    # An extended code has its primary one in the low byte.
    if getattr(error, "sqlite_errorcode", -1) & 0xFF in _ELSEWHERE:
        return LedgerError(f"{what} cannot be written or read ({error}); check the disk's space, owner and mode.")
    return LedgerError(f"{what} is damaged ({error}); restore its newest backup.")


class Transaction:
    """BEGIN IMMEDIATE … COMMIT, rolled back on any error, also on one of COMMIT itself.

    A transaction left open would show its rows to this connection as if they were durable.

    Raises
    ------
    LedgerError
        If the database cannot be written; nothing of the transaction is there then.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise fault("the ledger", error) from error

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            if error_type is None:
                self._connection.execute("COMMIT")
            elif isinstance(error, sqlite3.Error):
                raise error
        except sqlite3.Error as failed:
            raise fault("the ledger", failed) from failed
        finally:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def create_owner_only(path: Path) -> None:
    """Make an empty file with mode 0600.

    Raises
    ------
    LedgerError
        If it exists, its folder does not, or nothing can be written there.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        sync_folder(path.parent)
    except FileExistsError as error:
        raise LedgerError(f"ledger {path} exists already; it is never overwritten.") from error
    except FileNotFoundError as error:
        raise LedgerError(f"folder {path.parent} does not exist; create it before opening a ledger there.") from error
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be made ({error.strerror}); check its folder and disk.") from error


def never_opened(path: Path) -> bool:
    """Whether a file is what an opening leaves that died before its first commit: a database without a table."""
    try:
        connection = sqlite3.connect(f"file:{quote(os.fspath(path.resolve()))}?mode=ro", uri=True)
        try:
            return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return False


def acquire(path: Path) -> int:
    """Take the lock file beside the ledger; the descriptor holds it until it is closed.

    Raises
    ------
    LedgerError
        If another process holds it, the file has a second name under which another could, or nothing can be written
        beside it.
    """
    if path.stat().st_nlink > 1:
        raise LedgerError(f"ledger {path} has a second name (a hard link); remove that one first.")
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise LedgerError(
            f"nothing can be written beside ledger {path} ({error.strerror}); check its folder and disk."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerError(f"ledger {path} is in use by another custodian; stop that one first.") from error
    return descriptor
