"""The decision log: one row per decision in SQLite, hash-chained, never changed and never deleted.

A row names the person by a keyed hash only. It is what a model said of one request, before any person looked at it;
reviews and overrides refer to a row by its id and stand elsewhere. The log is the institution's own record and is sent
nowhere. A crash of the process loses no row that was acknowledged; a power cut can lose the last ones.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedcredit.errors import ConfigError
from fedcredit.scoring.row_chain import RowChain, transaction
from fedcredit.write_ahead import use_write_ahead_log

TABLE = "decision"
_SUBJECT = b"fedcredit-subj"
_SUBJECT_BYTES = 16
_WAIT_S = 30.0
CHAIN = RowChain(
    table=TABLE,
    tag="decision-log",
    columns=(
        ("decision_id", "TEXT NOT NULL"),
        ("at", "TEXT NOT NULL"),
        ("package_hash", "TEXT NOT NULL"),
        ("subject_hash", "TEXT NOT NULL"),
        ("pd", "REAL NOT NULL"),
        ("points", "INTEGER NOT NULL"),
        ("reasons", "TEXT NOT NULL"),
        ("flags", "TEXT NOT NULL"),
        ("verdict", "TEXT"),
        ("cut_off", "INTEGER"),
    ),
    once=("decision_id",),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One row.

    Attributes
    ----------
    decision_id
        Unique; says nothing of the person.
    at
        Time in UTC, ISO 8601.
    package_hash
        Model package that decided, hex.
    subject_hash
        `subject_hash` of the person's id; empty where no id was given.
    pd
        Probability of bad.
    points
        Score.
    reasons
        Each with ``feature``, ``text`` and ``points_lost``, heaviest first.
    flags
        What was unusual in the input, such as ``range:age``.
    verdict
        ``approve`` or ``decline``, or None where no cut-off was given.
    cut_off
        Smallest number of points that is approved, or None.
    """

    decision_id: str
    at: str
    package_hash: str
    subject_hash: str
    pd: float
    points: int
    reasons: tuple[Mapping[str, Any], ...]
    flags: tuple[str, ...]
    verdict: str | None = None
    cut_off: int | None = None

    def row(self) -> tuple[Any, ...]:
        """The values in the order of the table's columns, as SQLite gives them back."""
        reasons, flags = (json.dumps(list(part), ensure_ascii=False) for part in (self.reasons, self.flags))
        head = (self.decision_id, self.at, self.package_hash, self.subject_hash, float(self.pd), int(self.points))
        return (*head, reasons, flags, self.verdict, self.cut_off)


class DecisionLog:
    """An open log; use as a context manager or call `close`. Threads may share it.

    Parameters
    ----------
    path
        The SQLite file; made, readable by its owner only, if it does not exist.

    Raises
    ------
    ConfigError
        If the file is no decision log or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_WAIT_S)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"decision log {path} cannot be opened ({error}); choose another file.") from error
        try:
            self._begin()
        except (ConfigError, sqlite3.Error) as error:
            self._connection.close()
            raise ConfigError(f"decision log {path} cannot be opened ({error}); choose another file.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _begin(self) -> None:
        use_write_ahead_log(self._connection)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        CHAIN.begin(self._connection)
        # Only its end: 'fedcredit review verify' reads every row, which takes seconds where there are a million.
        self._end = CHAIN.end(self._connection)

    def append(self, decisions: Iterable[Decision]) -> None:
        """Write decisions in one transaction: all of them or none.

        Raises
        ------
        ConfigError
            If the file cannot be written, was cut back meanwhile, or an id stands in it already.
        """
        rows = [decision.row() for decision in decisions]
        with self._lock:
            try:
                with transaction(self._connection):
                    end = CHAIN.append(self._connection, self._end, rows)
                self._end = end
            except sqlite3.Error as error:
                raise ConfigError(f"decision log {self._path} cannot be written ({error}); check its disk.") from error
            except ConfigError as error:
                raise ConfigError(f"decision log {self._path} is not used ({error}); find out who did it.") from error


def subject_hash(key: bytes, subject: bytes) -> str:
    """Name a person by a hash that only the holder of the key can compute; 32 hex digits.

    Parameters
    ----------
    key
        The institution's secret, 16 to 64 bytes.
    subject
        The person's id; an empty one gives an empty hash.
    """
    if not subject:
        return ""
    return hashlib.blake2b(subject, digest_size=_SUBJECT_BYTES, key=key, person=_SUBJECT).hexdigest()


def verdict_of(points: int, cut_off: int | None) -> str | None:
    """``approve`` from the cut-off on, ``decline`` below it, None without one."""
    if cut_off is None:
        return None
    return "approve" if points >= cut_off else "decline"
