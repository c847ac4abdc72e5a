"""The job store: every decided step of one job in one SQLite file, so that a dead coordinator resumes.

It holds the exact plan and, per decided step, who took part and the released sums. The job's state is not stored:
it is the fold of the family's pure functions over these steps, so a resumed job is the same job. Beside them stand the
replies that have arrived for the attempt in flight, so that nobody is asked for them again; they go when it is decided.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import JobError, LedgerError
from fedcredit.privacy.ledger_file import Transaction, connect
from fedcredit.wire.canonical import canonical_json, parse_json
from fedcredit.write_ahead import is_held

# 1 had no table of replies that have arrived, and no number.
_SCHEMA_VERSION = 2
_SCHEMA = (
    "CREATE TABLE job (id INTEGER PRIMARY KEY CHECK (id = 1), plan BLOB NOT NULL) STRICT",
    """
CREATE TABLE step (
  seq INTEGER PRIMARY KEY, phase TEXT NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL,
  outcome TEXT NOT NULL, members BLOB NOT NULL, rejoining BLOB NOT NULL, sums BLOB NOT NULL,
  UNIQUE (phase, round, attempt)
) STRICT
""",
    """
CREATE TABLE packet (
  phase TEXT NOT NULL, round INTEGER NOT NULL, institution TEXT NOT NULL, envelope BLOB NOT NULL,
  UNIQUE (phase, round, institution)
) STRICT
""",
    """
CREATE TABLE arrived (
  phase TEXT NOT NULL, round INTEGER NOT NULL, attempt INTEGER NOT NULL, institution TEXT NOT NULL,
  envelope BLOB NOT NULL, UNIQUE (phase, round, attempt, institution)
) STRICT
""",
)


class Outcome(StrEnum):
    """How an attempt at a step ended."""

    DONE = "done"
    AGAIN = "again"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Decided:
    """An attempt at a step that is over.

    Attributes
    ----------
    phase, round, attempt
        Which step, and which try at it; ``release`` has round 0, ``join`` and ``keys`` count how often keys were
        agreed on, from 0.
    outcome
        ``done``: everybody asked has answered. ``again``: the attempt is given up and the next one follows.
        ``ended``: no further attempt can be paid, and the job goes on with what there is.
    members
        Institutions in the job from here on, in roster order.
    rejoining
        Members that have lost their keys and must join again before the next attempt.
    sums
        Released lattice sums over each coordinate's owners; empty unless a charged step is done.
    """

    phase: str
    round: int
    attempt: int
    outcome: Outcome
    members: tuple[str, ...]
    rejoining: tuple[str, ...] = ()
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


class JobStore:
    """One job's store.

    Parameters
    ----------
    path
        The SQLite file, made if it does not exist; None keeps the job in memory.
    plan
        The job's exact plan; an existing store must hold the same one.

    Attributes
    ----------
    path
        As given.

    Raises
    ------
    JobError
        If the file holds another job, was made by another version of the software, or is damaged.
    """

    def __init__(self, path: Path | None, plan: bytes) -> None:
        self.path = path
        if path is not None and not path.exists():
            path.touch(mode=0o600)
        try:
            self._connection = connect(path)
            self._begin(plan)
        except (sqlite3.DatabaseError, LedgerError) as error:
            if is_held(error) or (error.__cause__ is not None and is_held(error.__cause__)):
                raise JobError(
                    f"job store {path} is held by another process ({_cause(error)}); let it end, then try again."
                ) from error
            raise JobError(f"job store {path} is damaged ({_cause(error)}); start the job in a new folder.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def record(self, decided: Decided, packets: Sequence[tuple[str, bytes]]) -> None:
        """Store a decided step and the signed envelopes that it was decided from, in one fsynced transaction.

        Raises
        ------
        JobError
            If the step cannot be stored, or another process has decided it.
        """
        names = [canonical_json(list(part)) for part in (decided.members, decided.rejoining)]
        sums = decided.sums.astype("<i8").tobytes()
        with self._writing(f"{decided.phase} {decided.round}"):
            self._connection.execute(
                "INSERT INTO step (phase, round, attempt, outcome, members, rejoining, sums) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (decided.phase, decided.round, decided.attempt, decided.outcome.value, *names, sums),
            )
            self._connection.executemany(
                "INSERT INTO packet VALUES (?, ?, ?, ?)",
                [(decided.phase, decided.round, institution, envelope) for institution, envelope in packets],
            )
            self._connection.execute("DELETE FROM arrived")

    def keep(self, phase: str, round_: int, attempt: int, replies: Mapping[str, bytes]) -> None:
        """Keep replies to an attempt that is not decided yet, in one fsynced transaction.

        Raises
        ------
        JobError
            If they cannot be stored.
        """
        with self._writing(f"a reply of {phase} {round_}"):
            self._connection.executemany(
                "INSERT OR REPLACE INTO arrived VALUES (?, ?, ?, ?, ?)",
                [(phase, round_, attempt, institution, envelope) for institution, envelope in replies.items()],
            )

    def kept(self, phase: str, round_: int, attempt: int) -> dict[str, bytes]:
        """Replies that have arrived for an attempt, by institution."""
        rows = self._connection.execute(
            "SELECT institution, envelope FROM arrived WHERE (phase, round, attempt) = (?, ?, ?) ORDER BY rowid",
            (phase, round_, attempt),
        )
        return dict(rows.fetchall())

    def forget(self) -> None:
        """Drop all replies of undecided attempts: their sum is not usable, and they are asked for again.

        Raises
        ------
        JobError
            If the store cannot be written.
        """
        with self._writing("the end of an attempt"):
            self._connection.execute("DELETE FROM arrived")

    def steps(self) -> list[Decided]:
        """All decided steps, oldest first."""
        rows = self._connection.execute(
            "SELECT phase, round, attempt, outcome, members, rejoining, sums FROM step ORDER BY seq"
        )
        return [
            Decided(
                phase,
                round_,
                attempt,
                Outcome(outcome),
                tuple(parse_json(members)),
                tuple(parse_json(rejoining)),
                np.frombuffer(sums, dtype="<i8").astype(np.int64),
            )
            for phase, round_, attempt, outcome, members, rejoining, sums in rows
        ]

    def packets(self, phase: str, round_: int | None = None) -> dict[str, bytes]:
        """Each institution's latest envelope of a phase, or the one of that round."""
        rows = self._connection.execute(
            "SELECT institution, envelope FROM packet WHERE phase = ? AND ? IN (round, -1) ORDER BY round",
            (phase, -1 if round_ is None else round_),
        )
        return dict(rows.fetchall())

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            with Transaction(self._connection):
                yield
        except LedgerError as error:
            raise JobError(
                f"{what} cannot be stored ({_cause(error)}); check the disk and that no other coordinator runs this "
                "job, then resume it."
            ) from error

    def _begin(self, plan: bytes) -> None:
        with Transaction(self._connection):
            known = self._connection.execute("SELECT name FROM sqlite_master WHERE name = 'job'").fetchone()
            if known is None:
                for table in _SCHEMA:
                    self._connection.execute(table)
                self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
                self._connection.execute("INSERT INTO job VALUES (1, ?)", (plan,))
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version != _SCHEMA_VERSION:
            raise JobError(
                f"the job store was made by another version of this software (schema {version or 1}, not "
                f"{_SCHEMA_VERSION}); finish the job with that version, or plan a new one in a folder of its own."
            )
        row = self._connection.execute("SELECT plan FROM job").fetchone()
        if row is None or row[0] != plan:
            raise JobError("the job store holds another job; give this one a folder of its own.")


def decided_steps(path: Path) -> list[tuple[str, int, int, Outcome]]:
    """Phase, round, attempt and outcome of each decided step, oldest first; reads beside a running coordinator.

    Raises
    ------
    JobError
        If the file is missing, damaged or no job store.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT phase, round, attempt, outcome FROM step ORDER BY seq").fetchall()
            return [(phase, round_, attempt, Outcome(outcome)) for phase, round_, attempt, outcome in rows]
    except (sqlite3.DatabaseError, ValueError) as error:
        raise JobError(f"job store {path} cannot be read ({error}); name the folder of a job that began.") from error


def _cause(error: Exception) -> object:
    """What SQLite said; the transaction speaks of a ledger."""
    return error.__cause__ or error
