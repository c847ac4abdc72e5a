"""The processes of a consortium: started, killed, seen to end, started again."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.consortium import KINDS, Consortium

ROOT = Path(__file__).resolve().parents[2]
COORDINATOR = "coordinator"
STUCK_AFTER_S = 90.0
_NEVER_S = 1e9
_LONGEST_LOG = 12_000
_QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Kill:
    """One kill -9, or a SIGTERM.

    Attributes
    ----------
    victim
        Whom it hits: an institution or the coordinator.
    place, passage
        In code: at the n-th passage of a place, counted from the victim's start.
    delay_s
        Or in time: so long after the coordinator's start.
    gently
        SIGTERM, at a place; the process goes on from there once its socket is closed.
    """

    victim: str
    place: str | None = None
    passage: int = 1
    delay_s: float | None = None
    gently: bool = False


class Zygote:
    """The warmed process, at the other end of a pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            cwd=ROOT,
            env=os.environ | _QUIET,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def order(self, **order: object) -> int:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(STUCK_AFTER_S)
        self._process.stdout.close()


@contextmanager
def zygote() -> Iterator[Zygote]:
    warmed = Zygote()
    try:
        yield warmed
    finally:
        warmed.close()


class Crew:
    """One process per institution, and a coordinator while a job runs.

    Parameters
    ----------
    faults
        Name of a deliberate fault (`tests.crash.faults`) per process.
    """

    def __init__(self, zygote: Zygote, consortium: Consortium, faults: dict[str, str] | None = None) -> None:
        self._zygote, self.consortium, self._faults = zygote, consortium, faults or {}
        self._pids: dict[str, int] = {}

    def run(self, job: Path, kills: list[Kill]) -> list[str]:
        """Lead a job to its end through the kills; which of them happened, as ``VICTIM at PLACE``.

        Raises
        ------
        RuntimeError
            If a process ends by itself with an error, or nothing ends in time; then it says where all of them are.
        """
        self._set(job, kills)
        began, hit, led = time.monotonic(), [], False
        timed = sorted((kill for kill in kills if kill.delay_s is not None), key=lambda kill: kill.delay_s)
        placed = {kill.victim: kill for kill in kills if kill.place is not None}
        # The last places are passed while the coordinator ends, or just after.
        while not led or placed:
            wait_s = max(timed[0].delay_s - (time.monotonic() - began), 0) if timed else STUCK_AFTER_S
            ended = self._first_to_end(wait_s)
            if ended is None and not timed:
                raise RuntimeError(f"nothing ended within {STUCK_AFTER_S} s; to come: {placed}\n{self.whereabouts()}")
            if ended is None:
                ended = timed.pop(0).victim
                os.kill(self._pids[ended], signal.SIGKILL)
            code, kill = self._reap(ended), placed.pop(ended, None)
            if ended == COORDINATOR and code == 0:
                led, timed = True, []
                continue
            if code != (0 if kill is not None and kill.gently else -signal.SIGKILL):
                raise RuntimeError(f"{ended} ended with {code}: {self.log(ended)}")
            hit.append(f"{ended} {self._last_place(ended)}")
            if ended != COORDINATOR or not led:
                self._start(ended, job, None)
        return hit

    def kill(self, name: str) -> None:
        os.kill(self._pids[name], signal.SIGKILL)
        self._reap(name)

    def close(self) -> None:
        for name in tuple(self._pids):
            self.kill(name)

    def whereabouts(self) -> str:
        """Where each process is, for a failure's message: its last place, and its log with the stack of every thread.

        It ends them: who is aborted writes its stacks whatever its threads wait for, and by then they are whole.
        """
        said = []
        for name in tuple(self._pids):
            os.kill(self._pids[name], signal.SIGABRT)
            self._reap(name)
            said.append(f"--- {name}, last seen {self._last_place(name)}\n{self.log(name)}")
        return "\n".join(said)

    def log(self, name: str) -> str:
        path = self._log(name)
        return path.read_text()[-_LONGEST_LOG:] if path.exists() else "no log"

    def _set(self, job: Path, kills: list[Kill]) -> None:
        """Start who is missing; a custodian that is to die at a place starts anew, killed where it waits."""
        chosen = {kill.victim: kill for kill in kills if kill.place is not None}
        for institution in KINDS:
            if institution in chosen and institution in self._pids:
                self.kill(institution)
            if institution not in self._pids:
                self._start(institution, job, chosen.get(institution))
        self._start(COORDINATOR, job, chosen.get(COORDINATOR))

    def _start(self, name: str, job: Path, kill: Kill | None) -> None:
        if name == COORDINATOR:
            what, trace = {"job": str(job)}, self.consortium.trace(job.name)
        else:
            trust = [] if self.consortium.private else ["--accept-not-private"]
            what = {"argv": ["custodian", "serve", str(self.consortium.site(name)), *trust]}
            trace = self.consortium.trace(name)
        place, passage = (kill.place, kill.passage) if kill is not None else (None, 1)
        fault = self._faults.get(name)
        stops = str(self.consortium.socket(name)) if kill is not None and kill.gently else None
        order = {**what, "log": str(self._log(name)), "trace": str(trace), "fault": fault, "stops": stops}
        self._pids[name] = self._zygote.order(**order, place=place, passage=passage)

    def _first_to_end(self, wait_s: float) -> str | None:
        watched = {os.pidfd_open(pid): name for name, pid in self._pids.items()}
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        ended = [watched[descriptor] for descriptor, _ in poll.poll(min(wait_s, _NEVER_S) * 1000)]
        for descriptor in watched:
            os.close(descriptor)
        # A victim first: the coordinator may end in the same moment.
        return min(ended, key=lambda name: name == COORDINATOR, default=None)

    def _reap(self, name: str) -> int:
        return self._zygote.order(reap=self._pids.pop(name))

    def _log(self, name: str) -> Path:
        return self.consortium.folder / f"{name}.log"

    def _last_place(self, name: str) -> str:
        """Where the newest trace of a process ends; a job's coordinator writes into the job's own."""
        kept = self.consortium.folder.glob("job-*.trace" if name == COORDINATOR else f"{name}.trace")
        newest = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
        lines = [] if newest is None else newest.read_text().splitlines()
        places = [json.loads(line).get("at", "start") for line in lines if '"at"' in line or '"start"' in line]
        return places[-1] if places else "start"
