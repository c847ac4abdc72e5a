"""The dispatcher: runs the queue's jobs one after another, and starts a run again that ended before its job did.

It decides by the queue's row, by the last word that a run left in the job's folder, and by Flower's list of runs. It
keeps nothing in memory that matters, so it may die at any moment: a run that was started just before is found in
Flower's list, because the intention is written first and every other run there has been noted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedcredit.errors import FedcreditError
from server.job_run import Ending, has_died, outcome_of
from server.pacing import Pacing
from server.queue import Queue, QueuedJob, State

# Flower's commands take seconds of processor time each; what ends a run shows in the job's folder at once.
LOOK_INTERVAL_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Flower lists it.

    Attributes
    ----------
    status
        ``pending``, ``starting``, ``running``, or ``finished:`` with ``completed``, ``failed`` or ``stopped``.
    bundle
        SHA-256 of its app bundle, as hex.
    """

    status: str
    bundle: str

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status.startswith("finished")


class Flower(Protocol):
    """What the dispatcher needs of Flower.

    Each raises JobError if Flower cannot be asked, or refuses.
    """

    @property
    def bundle(self) -> str:
        """SHA-256 of the app bundle that `start` runs, as hex."""

    def start(self, job: Path) -> str:
        """Start a run of the job of a JOB.yaml; its number."""

    def runs(self) -> Mapping[str, Run]:
        """All runs by number."""

    def stop(self, run: str) -> None:
        """Stop a run; one that has ended already is left alone."""


class Dispatcher:
    """Runs jobs.

    Parameters
    ----------
    queue, flower
        What to run, and where.
    job_folder
        Folder of a job.
    pacing
        Pauses before a job is started again.
    announce
        Receives one line per event, for the operator's log.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        queue: Queue,
        flower: Flower,
        job_folder: Callable[[str], Path],
        pacing: Pacing,
        *,
        announce: Callable[[str], None] = print,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue, self._flower, self._folder, self._pacing = queue, flower, job_folder, pacing
        self._announce, self._clock = announce, clock
        self._looked_at = -LOOK_INTERVAL_S

    def advance(self) -> None:
        """Do what is due now for the job whose turn it is; does not wait for it.

        Raises
        ------
        JobError
            If Flower cannot be asked; nothing is lost, ask again later.
        """
        job = self._queue.current()
        if job is None:
            return
        if job.starting:
            self._adopt(job)
        elif job.run is not None:
            self._follow(job, job.run)
        elif job.stop_asked:
            self._end(job, State.STOPPED, "stopped by the operator")
        elif self._due(job):
            self._start(job)

    def _due(self, job: QueuedJob) -> bool:
        # A clock that was set back must not hold a job up for longer than any pause.
        return not 0 < job.not_before - self._clock() <= self._pacing.retry_longest_s

    def _adopt(self, job: QueuedJob) -> None:
        """A start was intended and its number never noted: the run that nobody knows is this one, if there is any."""
        known, runs = self._queue.known_runs(), self._flower.runs()
        unknown = [number for number, run in runs.items() if number not in known and run.bundle == job.bundle]
        if unknown:
            self._note(job, unknown[0])
            for other in unknown[1:]:
                self._flower.stop(other)
        else:
            self._retry(job, "the start was interrupted before Flower took it")

    def _start(self, job: QueuedJob) -> None:
        bundle = self._flower.bundle
        if job.bundle not in (None, bundle):
            reason = (
                f"it was started with app bundle {job.bundle} and this clone builds {bundle}; check out the version "
                "that it was started with, or have every institution list the new bundle in NODE.yaml, and resume it"
            )
            self._end(job, State.FAILED, reason)
            return
        self._queue.will_start(job.name, bundle)
        self._note(job, self._flower.start(self._folder(job.name) / "JOB.yaml"))

    def _note(self, job: QueuedJob, run: str) -> None:
        self._queue.has_started(job.name, run)
        self._looked_at = self._clock()
        self._announce(f"job {job.name}: run {run} started")

    def _follow(self, job: QueuedJob, run: str) -> None:
        folder = self._folder(job.name)
        outcome = outcome_of(folder, run)
        if outcome is not None and outcome.ending is Ending.FINISHED:
            self._end(job, State.FINISHED, "")
        elif job.stop_asked:
            self._flower.stop(run)
            self._end(job, State.STOPPED, "stopped by the operator")
        elif outcome is not None and outcome.ending is Ending.FAILED:
            self._end(job, State.FAILED, outcome.reason)
        elif outcome is not None:
            self._wait(job, outcome.reason)
        elif has_died(folder, run) and outcome_of(folder, run) is None:
            self._flower.stop(run)
            self._retry(job, f"run {run} died")
        elif abs(self._clock() - self._looked_at) >= LOOK_INTERVAL_S:
            self._look(job, run)

    def _look(self, job: QueuedJob, run: str) -> None:
        """Whether Flower still has a run whose process has said nothing."""
        found = self._flower.runs().get(run)
        self._looked_at = self._clock()
        if found is None:
            self._retry(job, f"Flower does not know run {run} any more")
        elif found.bundle != job.bundle:
            self._flower.stop(run)
            reason = f"run {run} has app bundle {found.bundle}, not {job.bundle}; find out who started it, and resume"
            self._end(job, State.FAILED, reason)
        elif found.over and outcome_of(self._folder(job.name), run) is None:
            self._retry(job, f"run {run} is {found.status} in Flower's list")

    def _wait(self, job: QueuedJob, reason: str) -> None:
        """The run has waited for institutions as long as `pacing` says; while it waits on, others have their turn."""
        self._retry(job, reason)
        if self._queue.others_wait(job.name):
            self._queue.let_others_go(job.name)
            self._announce(f"job {job.name} is at the end of the queue until its institutions are there")

    def _retry(self, job: QueuedJob, reason: str) -> None:
        now = self._clock()
        # A run that lasted was no failure of the start: the pauses begin anew.
        failures = 1 if now - job.changed > self._pacing.retry_longest_s else job.failures + 1
        pause_s = self._pacing.retry_s(failures)
        self._queue.try_again(job.name, reason, failures, now + pause_s)
        self._announce(f"job {job.name}: {reason}; it is started again in {pause_s:g} s")

    def _end(self, job: QueuedJob, state: State, reason: str) -> None:
        self._queue.end(job.name, state, reason)
        self._announce(f"job {job.name} is {state.value}{f': {reason}' if reason else ''}")


def run_forever(step: Callable[[], None], pause_s: Callable[[int], float], announce: Callable[[str], None]) -> None:
    """Do a step every second, and less often while it fails.

    Parameters
    ----------
    pause_s
        Seconds to wait after the n-th failure in a row.
    """
    failures = 0
    while True:
        try:
            step()
            failures = 0
        except FedcreditError as error:
            failures += 1
            announce(f"{error}")
        time.sleep(pause_s(failures) if failures else 1.0)
