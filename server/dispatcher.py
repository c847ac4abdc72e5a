"""The dispatcher's process: keeps Flower's nodes as the roster says, and the queue's jobs going.

``python -m server.dispatcher COORDINATOR.yaml``; the supervisor starts it again when it ends.
"""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from fedcredit.errors import FedcreditError
from fedcredit.roster_file import load_roster
from server.coordinator_file import CoordinatorFile, load_coordinator_file
from server.dispatch import Dispatcher
from server.flower_cli import FlowerCommands
from server.loopback_tls import HOST, LoopbackTls
from server.nodes import NodeBook, NodeRegistry
from server.pacing import Pacing
from server.queue import Queue

_TURN_S = 0.5
# A SuperLink that is back should not wait for long until somebody asks it for its runs.
_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class Duty:
    """Something to be done again and again, with growing pauses while it fails.

    Attributes
    ----------
    due
        Monotonic seconds before which it is not tried again.
    """

    act: Callable[[], None]
    pacing: Pacing
    announce: Callable[[str], None]
    failures: int = 0
    due: float = 0.0

    def attempt(self, now: float) -> None:
        """Do it, if it is due."""
        if now < self.due:
            return
        try:
            self.act()
            self.failures = 0
        except FedcreditError as error:
            self.failures += 1
            pause_s = min(self.pacing.retry_s(self.failures), _LONGEST_PAUSE_S)
            self.due = now + pause_s
            self.announce(f"{error} (tried again in {pause_s:g} s)")


class NodeKeeper:
    """Follows the roster's file."""

    def __init__(self, roster: Path, book: NodeBook, flower: NodeRegistry) -> None:
        self._roster, self._book, self._flower = roster, book, flower
        self._seen: bytes | None = None

    def keep(self) -> None:
        """Bring Flower's nodes in line with the roster, if its file has changed since it was last done.

        Raises
        ------
        ConfigError, JobError
            If the roster is not signed by all members, or Flower cannot be asked; then the nodes stay as they are.
        """
        content = self._roster.read_bytes() if self._roster.is_file() else b""
        if content != self._seen:
            self._book.reconcile(load_roster(self._roster), self._flower)
            self._seen = content


def dispatch(file: CoordinatorFile, stopping: Callable[[], bool]) -> None:
    """Do the dispatcher's duties until `stopping` says so."""
    tls = LoopbackTls(file.state / "loopback")
    flower = FlowerCommands(file.state / "flower", f"{HOST}:{file.api_port}", tls.authority, file.pacing)
    _say(f"app bundle {flower.bundle}")
    with Queue(file.queue) as queue, NodeBook(file.queue, _say) as book:
        dispatcher = Dispatcher(queue, flower, file.job_folder, file.pacing, announce=_say)
        duties = [
            Duty(act, file.pacing, _say) for act in (NodeKeeper(file.roster, book, flower).keep, dispatcher.advance)
        ]
        while not stopping():
            for duty in duties:
                duty.attempt(time.monotonic())
            time.sleep(_TURN_S)


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}", flush=True)


def main() -> None:
    """Run until the process is told to end."""
    told: list[int] = []

    def tell(number: int, _: FrameType | None) -> None:
        told.append(number)

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    try:
        dispatch(load_coordinator_file(Path(sys.argv[1])), lambda: bool(told))
    except FedcreditError as error:
        _say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
