"""The coordinator's jobs: which wait, which one runs, and how the others ended; one SQLite file, every change fsynced.

Operators' commands and the dispatcher write it side by side, each change in a transaction of its own. Flower's number
of a run is written after Flower has given it, and the intention before: whoever finds an intention without a number
knows that a run may have been started.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from fedcredit.errors import JobError
from server.state_file import open_state, writing

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS job (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL, reason TEXT NOT NULL,
  stop_asked INTEGER NOT NULL, run TEXT, starting INTEGER NOT NULL, bundle TEXT, failures INTEGER NOT NULL,
  not_before REAL NOT NULL, submitted REAL NOT NULL, changed REAL NOT NULL
) STRICT
""",
    "CREATE TABLE IF NOT EXISTS run (run TEXT PRIMARY KEY, job TEXT NOT NULL, begun REAL NOT NULL) STRICT",
)
_COLUMNS = "name, state, reason, stop_asked, run, starting, bundle, failures, not_before, submitted, changed"
_TAKEN = "there is a job {!r} already; give the new one another name."


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One job's row.

    Attributes
    ----------
    reason
        Why it is where it is, for the operator.
    stop_asked
        Whether the operator wants it stopped.
    run
        Flower's number of its run at present, if it has one.
    starting
        Whether a run of it may have been started whose number is not known yet.
    bundle
        SHA-256 of the app bundle that its runs use; None until the first one.
    failures
        How often in a row a run ended without an end of the job.
    not_before
        When it may be started again; seconds since 1970, as are `submitted` and `changed`.
    """

    name: str
    state: State
    reason: str
    stop_asked: bool
    run: str | None
    starting: bool
    bundle: str | None
    failures: int
    not_before: float
    submitted: float
    changed: float


class Queue:
    """The queue's file.

    Parameters
    ----------
    path
        The SQLite file, made if it does not exist.
    clock
        Seconds since 1970.

    Raises
    ------
    ConfigError
        If the file cannot be made, or is no queue.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._connection = open_state(path, _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def jobs(self) -> list[QueuedJob]:
        """All jobs, in the order in which they run."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM job ORDER BY seq").fetchall()  # noqa: S608  constant
        return [_job(row) for row in rows]

    def job(self, name: str) -> QueuedJob:
        """One job.

        Raises
        ------
        JobError
            If there is none of that name.
        """
        found = next((job for job in self.jobs() if job.name == name), None)
        if found is None:
            raise JobError(f"there is no job {name!r}; 'python -m server status' lists the jobs.")
        return found

    def current(self) -> QueuedJob | None:
        """The job that runs, or else the one whose turn it is: the first that may be started, or will be."""
        jobs, now = self.jobs(), self._clock()
        running = [job for job in jobs if job.state is State.RUNNING]
        queued = [job for job in jobs if job.state is State.QUEUED]
        due = [job for job in queued if job.not_before <= now]
        return next(iter([*running, *due, *queued]), None)

    def others_wait(self, name: str) -> bool:
        """Whether other jobs are queued than this one."""
        return any(job.state is State.QUEUED and job.name != name for job in self.jobs())

    def require_new(self, name: str) -> None:
        """Refuse a name that is taken.

        Raises
        ------
        JobError
            If there is a job of that name.
        """
        if any(job.name == name for job in self.jobs()):
            raise JobError(_TAKEN.format(name))

    def submit(self, name: str) -> None:
        """Add a job.

        Raises
        ------
        JobError
            If the name is taken.
        """
        now = self._clock()
        try:
            with writing(self._connection):
                self._connection.execute(
                    "INSERT INTO job (name, state, reason, stop_asked, starting, failures, not_before, submitted, "
                    "changed) VALUES (?, ?, '', 0, 0, 0, 0, ?, ?)",
                    (name, State.QUEUED.value, now, now),
                )
        except sqlite3.IntegrityError as error:
            raise JobError(_TAKEN.format(name)) from error

    def ask_to_stop(self, name: str) -> State:
        """Stop a job that waits at once, and ask the dispatcher to stop one that runs; the state from here on.

        Raises
        ------
        JobError
            If there is no such job, or it has ended.
        """
        with writing(self._connection):
            job = self.job(name)
            match job.state:
                case State.QUEUED:
                    reason = "stopped by the operator" if self.runs_of(name) else "stopped before it ran"
                    self._set(name, state=State.STOPPED.value, reason=reason)
                case State.RUNNING:
                    self._set(name, stop_asked=1)
                case _:
                    raise JobError(f"job {name!r} is {job.state.value}; only a queued or running job can be stopped.")
        return self.job(name).state

    def resume(self, name: str) -> None:
        """Put a stopped or failed job at the end of the queue; it goes on from its last decided step.

        Raises
        ------
        JobError
            If there is no such job, or it is neither stopped nor failed.
        """
        with writing(self._connection):
            job = self.job(name)
            if job.state not in (State.STOPPED, State.FAILED):
                raise JobError(f"job {name!r} is {job.state.value}; only a stopped or failed job can be resumed.")
            fresh = {"stop_asked": 0, "run": None, "starting": 0, "bundle": None, "failures": 0, "not_before": 0.0}
            self._set(name, state=State.QUEUED.value, reason="", **fresh)
            self._to_the_end(name)

    def will_start(self, name: str, bundle: str) -> None:
        """Note, before it happens, that a run of a job is started."""
        with writing(self._connection):
            self._set(name, state=State.RUNNING.value, starting=1, bundle=bundle)

    def has_started(self, name: str, run: str) -> None:
        """Note Flower's number of a run that was started."""
        with writing(self._connection):
            self._connection.execute("INSERT INTO run VALUES (?, ?, ?)", (run, name, self._clock()))
            self._set(name, run=run, starting=0, reason=f"run {run}")

    def try_again(self, name: str, reason: str, failures: int, not_before: float) -> None:
        """Note that the job's run, if it had one, is over, and that another follows."""
        with writing(self._connection):
            self._set(name, run=None, starting=0, reason=reason, failures=failures, not_before=not_before)

    def let_others_go(self, name: str) -> None:
        """Put the running job at the end of the queue, after `try_again`; it goes on from its last decided step."""
        with writing(self._connection):
            self._set(name, state=State.QUEUED.value)
            self._to_the_end(name)

    def end(self, name: str, state: State, reason: str) -> None:
        """Note how a job ended."""
        with writing(self._connection):
            self._set(name, state=state.value, reason=reason, run=None, starting=0, stop_asked=0)

    def known_runs(self) -> set[str]:
        """Numbers of all runs whose jobs are known."""
        return {run for (run,) in self._connection.execute("SELECT run FROM run")}

    def runs_of(self, name: str) -> int:
        """How many runs a job has had."""
        (count,) = self._connection.execute("SELECT count(*) FROM run WHERE job = ?", (name,)).fetchone()
        return int(count)

    def _to_the_end(self, name: str) -> None:
        self._connection.execute("UPDATE job SET seq = (SELECT max(seq) + 1 FROM job) WHERE name = ?", (name,))

    def _set(self, name: str, **values: object) -> None:
        columns = ", ".join(f"{column} = ?" for column in [*values, "changed"])
        # Columns are named in this module only.
        statement = f"UPDATE job SET {columns} WHERE name = ?"  # noqa: S608
        self._connection.execute(statement, (*values.values(), self._clock(), name))


def _job(row: tuple[object, ...]) -> QueuedJob:
    name, state, reason, stop_asked, run, starting, bundle, failures, not_before, submitted, changed = row
    return QueuedJob(
        str(name),
        State(str(state)),
        str(reason),
        bool(stop_asked),
        None if run is None else str(run),
        bool(starting),
        None if bundle is None else str(bundle),
        int(str(failures)),
        float(str(not_before)),
        float(str(submitted)),
        float(str(changed)),
    )
