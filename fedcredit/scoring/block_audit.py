"""The audit book of questions between two institutions, in SQLite: every side writes a row before anything leaves.

Rows are hash-chained and never changed. The book is also what makes the answering side safe against repeats: a nonce
stands in it once, also after a restart, and the limits per person and per peer are counted from its rows. It names
persons by the pair's keyed hash and holds no number.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedcredit.errors import ConfigError, RefusalError
from fedcredit.scoring.block_messages import Outcome, Question
from fedcredit.wire.canonical import canonical_json, digest

DAY_S = 86_400
SENT, RECEIVED, ANSWERED = "sent", "received", "answered"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ask (
  seq     INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  side    TEXT NOT NULL,
  peer    TEXT NOT NULL,
  block   TEXT NOT NULL,
  purpose TEXT NOT NULL,
  package TEXT NOT NULL,
  person  TEXT NOT NULL,
  nonce   TEXT NOT NULL,
  note    TEXT NOT NULL,
  hash    TEXT NOT NULL,
  UNIQUE (side, peer, nonce)
);
CREATE INDEX IF NOT EXISTS ask_of_peer ON ask (side, peer, at);
CREATE INDEX IF NOT EXISTS ask_of_person ON ask (side, peer, person, at);
CREATE TRIGGER IF NOT EXISTS ask_stays BEFORE UPDATE ON ask BEGIN SELECT RAISE(ABORT, 'a row is never changed'); END;
CREATE TRIGGER IF NOT EXISTS ask_remains BEFORE DELETE ON ask BEGIN SELECT RAISE(ABORT, 'a row is never deleted'); END;
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Earlier questions of a peer: all of the last day, and those on one person within the window."""

    of_peer: int
    of_person: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What a row says of a question, and what is answered: no number is written down.

    Attributes
    ----------
    text
        In words, for the own operator.
    """

    text: str
    outcome: Outcome = Outcome.REFUSED
    steps: int = 0


class BlockAudit:
    """An open book; threads may share it. Use as a context manager.

    Parameters
    ----------
    path
        The SQLite file; made, readable by its owner only, if it does not exist.

    Raises
    ------
    ConfigError
        If the file is none, or its chain does not hold.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"audit book {path} cannot be opened ({error}); choose another file.") from error
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
            self._verify()
        except (ConfigError, sqlite3.Error) as error:
            self._connection.close()
            raise ConfigError(f"audit book {path} is damaged ({error}); keep it, and begin a new one.") from error

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

    def record(
        self, side: str, peer: str, question: Question, at: int, note: Callable[[Counts], Noted], window_days: int = 1
    ) -> Noted:
        """Write one row, with what `note` says to the counts of earlier ones.

        Returns
        -------
        Noted
            What `note` said.

        Raises
        ------
        RefusalError
            If the peer's nonce stands in the book already.
        ConfigError
            If the book cannot be written; nothing may leave then.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                said = note(self._counts(side, peer, question, at, window_days))
                self._append(side, peer, question, at, said.text)
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                raise RefusalError("replay", "the question was asked before; ask with a fresh nonce") from error
            except sqlite3.Error as error:
                raise ConfigError(f"audit book {self._path} cannot be written ({error}); check its disk.") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        return said

    def _append(self, side: str, peer: str, question: Question, at: int, said: str) -> None:
        row = (at, side, peer, question.block, question.purpose, question.package.hex(), question.person.hex())
        values = (*row, question.nonce.hex(), said)
        # From the file: another process may have written since.
        last = self._connection.execute("SELECT hash FROM ask ORDER BY seq DESC LIMIT 1").fetchone()
        self._connection.execute(
            "INSERT INTO ask (at, side, peer, block, purpose, package, person, nonce, note, hash) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, _chained("" if last is None else last[0], values)),
        )

    def _counts(self, side: str, peer: str, question: Question, at: int, window_days: int) -> Counts:
        of_peer = "SELECT COUNT(*) FROM ask WHERE side = ? AND peer = ? AND at > ?"
        of_person = "SELECT COUNT(*) FROM ask WHERE side = ? AND peer = ? AND person = ? AND at > ?"
        person, days = question.person.hex(), window_days * DAY_S
        ((peers,),) = self._connection.execute(of_peer, (side, peer, at - DAY_S)).fetchall()
        ((persons,),) = self._connection.execute(of_person, (side, peer, person, at - days)).fetchall()
        return Counts(peers, persons)

    def _verify(self) -> None:
        """Check every row of the chain; that its end is there is for a copy elsewhere to show."""
        head = ""
        for *values, stated in self._connection.execute(
            "SELECT at, side, peer, block, purpose, package, person, nonce, note, hash FROM ask ORDER BY seq"
        ):
            head = _chained(head, values)
            if head != stated:
                raise ConfigError("a row was changed or taken out")


def _chained(head: str, values: Iterable[Any]) -> str:
    return digest("block-audit", head.encode(), canonical_json(list(values))).hex()
