"""Whoever opens a file while another makes its write-ahead log waits; SQLite's own patience does not cover that."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcredit.errors import JobError
from fedcredit.job.store import JobStore
from fedcredit.privacy.ledger_file import connect
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.decisions import DecisionLog
from fedcredit.write_ahead import use_write_ahead_log

OPENERS: dict[str, Callable[[Path], object]] = {
    "ledger": connect,
    "job store": lambda path: JobStore(path, b"plan"),
    "decision log": DecisionLog,
    "book of questions": BlockAudit,
}


def held(path: Path) -> sqlite3.Connection:
    """The file, new and in another's transaction."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA user_version = 0")
    other.execute("BEGIN EXCLUSIVE")
    return other


@pytest.mark.parametrize("opener", OPENERS)
def test_opening_waits_for_another_that_opens(opener: str, tmp_path: Path) -> None:
    other = held(tmp_path / "file.sqlite")
    holds = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    holds.start()
    opened = OPENERS[opener](tmp_path / "file.sqlite")
    holds.join()
    opened.close()  # type: ignore[attr-defined]
    other.close()


def test_patience_ends(tmp_path: Path) -> None:
    other = held(tmp_path / "file.sqlite")
    connection = sqlite3.connect(tmp_path / "file.sqlite", timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(connection, 0.05)
    other.close()
    use_write_ahead_log(connection, 0.05)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_held_job_store_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.write_ahead.use_write_ahead_log.__defaults__", (0.05,))
    monkeypatch.setattr("fedcredit.privacy.ledger_file.BUSY_TIMEOUT_S", 0.05)
    other = held(tmp_path / "job.sqlite")
    with pytest.raises(JobError, match="held by another process"):
        JobStore(tmp_path / "job.sqlite", b"plan")
    other.close()
    JobStore(tmp_path / "job.sqlite", b"plan").close()
    (tmp_path / "none.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(JobError, match="damaged"):
        JobStore(tmp_path / "none.sqlite", b"plan")
