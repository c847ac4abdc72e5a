"""What people said of decisions: an append-only, hash-chained table of its own; the decision log is never touched.

A review names the machine's verdict and the person's, so that neither is lost. The latest one of a decision is in force
and the ones before it stay. The chain (as in the audit trail) shows a changed or missing row; who cut the end off is
shown by a hash that was written down elsewhere.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import LedgerError
from fedcredit.wire.canonical import canonical_json, digest, parse_json

GENESIS = bytes(32)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS review (number INTEGER PRIMARY KEY, body BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS review_stays BEFORE UPDATE ON review
BEGIN SELECT RAISE(ABORT, 'a review is never changed'); END;
CREATE TRIGGER IF NOT EXISTS review_remains BEFORE DELETE ON review
BEGIN SELECT RAISE(ABORT, 'a review is never deleted'); END;
"""


@dataclass(frozen=True, slots=True)
class Review:
    """One thing that somebody said.

    Attributes
    ----------
    at
        Time in UTC, ISO 8601.
    decision_id
        Of the decision log.
    reviewer, account
        Who says so, and the operating system's account that wrote it.
    machine, person
        The machine's verdict, None where it had no cut-off; the person's, None for a note.
    reason
        In the reviewer's words.
    why
        Why the decision waited for a person; empty where the rule did not ask for one.
    """

    at: str
    decision_id: str
    reviewer: str
    account: str
    machine: str | None
    person: str | None
    reason: str
    why: tuple[str, ...]

    @property
    def is_override(self) -> bool:
        """Whether the person decided otherwise than the machine."""
        return self.person is not None and self.machine is not None and self.person != self.machine

    def values(self) -> dict[str, object]:
        """JSON values."""
        names = ("at", "decision_id", "reviewer", "account", "machine", "person", "reason")
        return {**{name: getattr(self, name) for name in names}, "why": list(self.why)}


@dataclass(frozen=True, slots=True)
class History:
    """All reviews, oldest first, the newest hash, and every row's as hex."""

    reviews: tuple[Review, ...]
    head: bytes
    hashes: frozenset[str] = frozenset()

    def in_force(self) -> dict[str, Review]:
        """Per decided decision the latest verdict of a person."""
        return {one.decision_id: one for one in self.reviews if one.person is not None}

    def of(self, decision_id: str) -> tuple[Review, ...]:
        """Everything that was said of one decision."""
        return tuple(one for one in self.reviews if one.decision_id == decision_id)


def read_history(path: Path) -> History:
    """Read all reviews; none where there is no file yet.

    Raises
    ------
    LedgerError
        If the file is no review history, or a row was changed or is missing.
    """
    if not path.exists():
        return History((), GENESIS)
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return _history(connection, path)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def append(path: Path, write: Callable[[History], Review]) -> Review:
    """Append what `write` makes of the reviews so far; nobody else writes in between.

    Raises
    ------
    LedgerError
        If the file is no review history, does not hold, or cannot be written.
    """
    try:
        if not path.exists():
            path.touch(mode=0o600)
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            known = _history(connection, path)
            review = write(known)
            body = canonical_json({**review.values(), "previous": known.head.hex()})
            number = len(known.reviews) + 1
            connection.execute("INSERT INTO review VALUES (?, ?, ?)", (number, body, _hash(body)))
            connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    return review


def _history(connection: sqlite3.Connection, path: Path) -> History:
    reviews, head, hashes = [], GENESIS, []
    rows = connection.execute("SELECT number, body, hash FROM review ORDER BY number")
    for place, (number, body, stated) in enumerate(rows, 1):
        try:
            values = parse_json(bytes(body))
            previous = bytes.fromhex(values.pop("previous"))
            review = Review(**{**values, "why": tuple(values["why"])})
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"review history {path}, row {place} cannot be read ({error}).") from error
        if (number, previous, bytes(stated)) != (place, head, _hash(bytes(body))):
            raise LedgerError(f"review history {path}, row {place} does not hold: it was changed, or one is missing.")
        reviews.append(review)
        head = bytes(stated)
        hashes.append(head.hex())
    return History(tuple(reviews), head, frozenset(hashes))


def _hash(body: bytes) -> bytes:
    return digest("review", body)


def _unusable(path: Path, error: Exception) -> LedgerError:
    return LedgerError(f"review history {path} cannot be used ({error}); check its disk, owner and mode.")
