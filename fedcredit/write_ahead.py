"""The switch of an SQLite file to a write-ahead log, for which SQLite's own busy timeout does not wait.

Two processes that open a new file at the same time both make the switch; without patience one of them reads that the
database is locked, although nothing is wrong (https://sqlite.org/wal.html, "Activating and configuring WAL mode").
"""

import sqlite3
import time

BUSY_TIMEOUT_S = 10.0
"""How long one process waits for another's lock; give it to `sqlite3.connect`, too."""
_TRY_AGAIN_S = 0.02


def use_write_ahead_log(connection: sqlite3.Connection, timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """Switch the file to its write-ahead log, and wait for others that hold it.

    Parameters
    ----------
    timeout_s
        How long to wait; seconds.

    Raises
    ------
    sqlite3.Error
        If it is held for longer, or cannot be written.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            if not is_held(error) or time.monotonic() > deadline:
                raise
            time.sleep(_TRY_AGAIN_S)
        else:
            return


def is_held(error: BaseException) -> bool:
    """Tell whether SQLite refuses only because another process holds the file."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
