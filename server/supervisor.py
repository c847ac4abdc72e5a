"""Keeps child processes running: started again with growing pauses when they end, none left when this process ends.

Which processes were started is on disk. A supervisor that finds children of a killed one stops them first, told apart
from strangers by the start of the machine, the process number and the time at which the process began.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.process_id import ProcessId, boot_id, process_id, session_members
from server.pacing import Pacing

_LOOK_S = 0.5
_STOP_TIMEOUT_S = 15.0
_LOCK = "serve.lock"
_LARGEST_LOG = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Child:
    """A process to be kept running.

    Attributes
    ----------
    name
        Names it in messages, and its log.
    may_start
        Whether what it needs is there.
    """

    name: str
    command: tuple[str, ...]
    may_start: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class _Place:
    """Where a child stands: running, or due at a time after some failures in a row."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Keeps children running.

    Parameters
    ----------
    children
        In the order in which they are started; stopped in reverse.
    state
        Folder for the list of processes and the logs.
    environment
        Variables of the children.
    pacing
        Pauses before an ended child is started again.
    announce
        Receives one line per event.
    """

    def __init__(
        self,
        children: Sequence[Child],
        state: Path,
        environment: Mapping[str, str],
        pacing: Pacing,
        announce: Callable[[str], None] = print,
    ) -> None:
        self._places = [_Place(child) for child in children]
        self._list, self._logs = state / "processes.json", state / "logs"
        self._environment, self._pacing, self._announce = dict(environment), pacing, announce

    def run(self, stopping: Callable[[], bool]) -> None:
        """Keep the children running until `stopping` says so; then stop them."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        stop_recorded(self._list)
        try:
            while not stopping():
                for place in self._places:
                    self._look_after(place)
                time.sleep(_LOOK_S)
        finally:
            self._stop()

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        if place.process is None:
            if now >= place.due and place.child.may_start():
                self._start(place, now)
        elif (code := place.process.poll()) is not None:
            # What it had started in turn would stand in the way of the next one.
            _stop_all(session_members(place.process.pid))
            place.process = None
            lasted = now - place.began > self._pacing.retry_longest_s
            place.failures = 1 if lasted else place.failures + 1
            pause_s = self._pacing.retry_s(place.failures)
            place.due = now + pause_s
            log = self._log(place.child)
            self._announce(
                f"{place.child.name} ended with {code}; it is started again in {pause_s:g} s; its log is {log}"
            )

    def _start(self, place: _Place, now: float) -> None:
        log = self._log(place.child)
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        try:
            with log.open("ab") as output:
                # In a session of its own: Ctrl-C is for us, and we stop it in order.
                place.process = subprocess.Popen(  # noqa: S603  commands are built in this package
                    place.child.command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            raise ConfigError(f"{place.child.command[0]} is missing; run: pip install -e '.[flower]'") from error
        place.began = now
        self._record()
        self._announce(f"{place.child.name} is process {place.process.pid}")

    def _record(self) -> None:
        running = [process_id(place.process.pid) for place in self._places if place.process is not None]
        found = [[one.pid, one.started] for one in running if one is not None]
        partial = self._list.with_suffix(".partial")
        partial.write_text(json.dumps({"boot": boot_id(), "processes": found}), encoding="ascii")
        partial.replace(self._list)

    def _stop(self) -> None:
        for place in reversed(self._places):
            if place.process is None:
                continue
            place.process.terminate()
            try:
                place.process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                place.process.kill()
                place.process.wait()
            _stop_all(session_members(place.process.pid))
        self._list.unlink(missing_ok=True)

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Be the only supervisor of a state folder.

    Raises
    ------
    ConfigError
        If another one runs.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"'serve' already runs for {state}; stop that one first.") from error
        yield
    finally:
        os.close(descriptor)


def is_served(state: Path) -> bool:
    """Whether a supervisor of a state folder runs."""
    if not (state / _LOCK).exists():
        return False
    try:
        with alone(state):
            return False
    except ConfigError:
        return True


def stop_recorded(path: Path) -> None:
    """Stop what a killed supervisor has left, with all that those processes had started."""
    try:
        recorded = json.loads(path.read_text(encoding="ascii"))
        boot, leaders = recorded["boot"], [(int(pid), int(started)) for pid, started in recorded["processes"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    if boot == boot_id():
        _stop_all([one for pid, started in leaders for one in _left_of(pid, started)])
    path.unlink(missing_ok=True)


def _left_of(pid: int, started: int) -> list[ProcessId]:
    """The session of a process, unless its number is another's by now; no number in use as a session's is given out."""
    now = process_id(pid)
    return [] if now is not None and now.started != started else session_members(pid)


def _stop_all(processes: list[ProcessId]) -> None:
    """Ask processes to end, and kill those that do not."""
    for one in processes:
        one.send(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while left := [one for one in processes if one.alive()]:
        if time.monotonic() > deadline:
            for one in left:
                one.kill()
        time.sleep(0.1)
