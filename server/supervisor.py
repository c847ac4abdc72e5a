"""Keeps child processes running: started again with growing pauses when they end, none left when this process ends.

Children carry the state folder's path in their environment, and so does what they start: a supervisor that comes back
after it was killed finds those of its predecessor by it, whatever their numbers, and stops them first.
"""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.growing_log import put_aside_if_long
from fedcredit.process_id import ProcessId, session_members, started_with
from server.pacing import Pacing

_LOOK_S = 0.5
_STOP_TIMEOUT_S = 15.0
_LOCK = "serve.lock"
_MARK = "FEDCREDIT_COORDINATOR"


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
        Folder for the logs.
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
        self._state, self._logs = state, state / "logs"
        self._environment = {**environment, _MARK: str(state.resolve())}
        self._pacing, self._announce = pacing, announce

    def run(self, stopping: Callable[[], bool]) -> None:
        """Keep the children running until `stopping` says so; then stop them."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        stop_left(self._state)
        try:
            while not stopping():
                for place in self._places:
                    self._look_after(place)
                time.sleep(_LOOK_S)
        finally:
            self._stop()

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        put_aside_if_long(self._log(place.child), None if place.process is None else place.process.pid)
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
        try:
            with self._log(place.child).open("ab") as output:
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
        self._announce(f"{place.child.name} is process {place.process.pid}")

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


def stop_left(state: Path) -> None:
    """Stop what a killed supervisor of a state folder has left, with all that those processes had started."""
    _stop_all(started_with(f"{_MARK}={state.resolve()}"))


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
