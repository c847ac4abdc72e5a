"""Packets in flight on a mock clock: a queue by time of arrival, and a list of everything that was ever sent."""

import heapq
from dataclasses import dataclass, field

LATENCY = 1.0
TIMEOUT = 10.0


@dataclass(frozen=True)
class Packet:
    """Bytes on their way.

    Attributes
    ----------
    sender, receiver
        A member's name, or a job's number as text for its coordinator.
    job
        Whose conversation it belongs to.
    name
        Under which member's name a coordinator will take it.
    fate
        What the network, or the receiver's machine, does to it.
    """

    data: bytes
    sender: str
    receiver: str
    job: int
    name: str
    fate: str = ""


@dataclass(frozen=True)
class Deadline:
    """The end of a coordinator's patience with one question."""

    job: int
    question: int


@dataclass
class Network:
    """The queue; minutes since the start."""

    now: float = 0.0
    sent: list[Packet] = field(default_factory=list)
    _queue: list[tuple[float, int, Packet | Deadline]] = field(default_factory=list)
    _count: int = 0

    def send(self, packet: Packet, delay: float = LATENCY) -> None:
        """Put a packet on its way."""
        self.sent.append(packet)
        self.post(packet, delay)

    def post(self, event: Packet | Deadline, delay: float) -> None:
        """Let something happen later."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, event))

    def next_before(self, end: float) -> Packet | Deadline | None:
        """The next event up to a time, which is then now; None if there is none."""
        if not self._queue or self._queue[0][0] > end:
            self.now = max(self.now, end)
            return None
        self.now, _, event = heapq.heappop(self._queue)
        return event

    @property
    def last(self) -> float:
        """When the last event that is under way will happen."""
        return max((due for due, _, _ in self._queue), default=self.now)
