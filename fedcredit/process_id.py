"""Processes told apart from later ones with the same number, read from ``/proc``.

Whoever stops processes that an earlier, killed program has left must not hit a stranger that got the number since.
Where there is no ``/proc``, nothing is found and nothing is stopped.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one with the same number.

    Attributes
    ----------
    pid, parent, session
        Process numbers.
    started
        Clock ticks since boot at its start.
    """

    pid: int
    parent: int
    session: int
    started: int

    def alive(self) -> bool:
        """Whether it still runs."""
        now = process_id(self.pid)
        return now is not None and now.started == self.started

    def kill(self) -> None:
        """Kill it, if it has not ended meanwhile."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it has not ended meanwhile."""
        if self.alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def stopped(self) -> bool:
        """Whether each of its threads is held by a signal, or it has ended."""
        threads = Path(f"/proc/{self.pid}/task").glob("[0-9]*")
        return all(_state(thread) in ("T", "t", "Z", "X", "") for thread in threads)


def process_id(pid: int) -> ProcessId | None:
    """The process that has a number now; None if none has, or it has ended and waits for its parent."""
    try:
        # The name, in brackets, may hold spaces and brackets of its own.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, parent, session, started = fields[0], int(fields[1]), int(fields[3]), int(fields[19])
    return None if state == "Z" else ProcessId(pid, parent, session, started)


def descendants(pids: set[int]) -> list[ProcessId]:
    """Processes that some processes started, directly or not."""
    everything = _running()
    found: list[ProcessId] = []
    parents = pids
    while children := [one for one in everything if one.parent in parents and one not in found]:
        found += children
        parents = {child.pid for child in children}
    return found


def session_members(leader: int) -> list[ProcessId]:
    """Processes of the session that a process founded, whether or not it still runs itself."""
    return [one for one in _running() if one.session == leader]


def started_with(variable: str) -> list[ProcessId]:
    """Processes that this account may look into whose environment had a variable, ``NAME=value``, at their start."""
    mark = variable.encode()
    return [one for one in _running() if mark in _variables(one.pid)]


def _running() -> list[ProcessId]:
    numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [one for number in numbers if (one := process_id(number)) is not None]


def _state(folder: Path) -> str:
    """One letter; empty if it is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _variables(pid: int) -> list[bytes]:
    """Environment with which a process was started; empty if it is another account's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
