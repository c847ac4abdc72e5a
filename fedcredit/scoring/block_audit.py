"""The audit book of questions between two institutions, in SQLite: every side writes a row before anything leaves.

Rows are hash-chained and never changed. The book is also what makes the answering side safe against repeats: a nonce
stands in it once, also after a restart, and the limits per person and per peer are counted from its rows. It names
persons by the pair's keyed hash and holds no number.
"""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fedcredit.errors import ConfigError, RefusalError
from fedcredit.scoring.block_messages import Outcome, Question
from fedcredit.scoring.row_chain import End, RowChain, transaction
from fedcredit.write_ahead import use_write_ahead_log

DAY_S = 86_400
SENT, RECEIVED, ANSWERED = "sent", "received", "answered"
_CHAIN = RowChain(
    table="ask",
    tag="block-audit",
    columns=(
        ("at", "INTEGER NOT NULL"),
        *(
            (name, "TEXT NOT NULL")
            for name in ("side", "peer", "block", "purpose", "package", "person", "nonce", "note")
        ),
    ),
    once=("side", "peer", "nonce"),
    more="""
        CREATE INDEX IF NOT EXISTS ask_of_peer ON ask (side, peer, at);
        CREATE INDEX IF NOT EXISTS ask_of_person ON ask (side, peer, person, at);
    """,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Earlier questions of a peer, and when the book was written last.

    Attributes
    ----------
    of_peer
        Within the last day.
    of_person
        On one person within the window.
    newest
        Time of this side's newest row, of any peer; 0 where there is none.
    """

    of_peer: int
    of_person: int
    newest: int


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
            use_write_ahead_log(self._connection)
            self._connection.execute("PRAGMA synchronous=FULL")
            _CHAIN.begin(self._connection)
            self._end = _CHAIN.verified(self._connection)
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

    @property
    def end(self) -> End:
        """Where the chain ended when this process looked last."""
        return self._end

    def holds(self, head: str) -> bool:
        """Whether a hash that somebody wrote down is one of a row here."""
        with self._lock:
            return _CHAIN.holds(self._connection, head)

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
            If the book cannot be written, or was cut back while it was open; nothing may leave then.
        """
        with self._lock:
            try:
                with transaction(self._connection):
                    said = note(self._counts(side, peer, question, at, window_days))
                    end = self._appended(_row(side, peer, question, at, said.text))
                self._end = end
            except sqlite3.IntegrityError as error:
                raise RefusalError("replay", "the question was asked before; ask with a fresh nonce") from error
            except sqlite3.Error as error:
                raise ConfigError(f"audit book {self._path} cannot be written ({error}); check its disk.") from error
        return said

    def _appended(self, row: tuple[int | str, ...]) -> End:
        try:
            return _CHAIN.append(self._connection, self._end, [row])
        except ConfigError as error:
            raise ConfigError(
                f"audit book {self._path} is not used ({error}); keep it, and find out who did it."
            ) from error

    def _counts(self, side: str, peer: str, question: Question, at: int, window_days: int) -> Counts:
        of_peer = "SELECT COUNT(*) FROM ask WHERE side = ? AND peer = ? AND at > ?"
        of_person = "SELECT COUNT(*) FROM ask WHERE side = ? AND peer = ? AND person = ? AND at > ?"
        person, days = question.person.hex(), window_days * DAY_S
        ((peers,),) = self._connection.execute(of_peer, (side, peer, at - DAY_S)).fetchall()
        ((persons,),) = self._connection.execute(of_person, (side, peer, person, at - days)).fetchall()
        latest = "SELECT at FROM ask WHERE side = ? ORDER BY seq DESC LIMIT 1"
        newest = self._connection.execute(latest, (side,)).fetchone()
        return Counts(peers, persons, 0 if newest is None else newest[0])


def _row(side: str, peer: str, question: Question, at: int, said: str) -> tuple[int | str, ...]:
    named = (question.block, question.purpose, question.package.hex(), question.person.hex(), question.nonce.hex())
    return at, side, peer, *named, said
