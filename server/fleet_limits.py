"""How much of the coordinator others can take up: every limit of the port that institutions reach, in one place.

Anybody who reaches the port can open connections, and nothing else: a request is read only once its headers prove that
a registered node sends it. What nodes send is counted for each node, wherever it connects from, so that a member that
means harm cannot use up what the others need.
"""

from collections import Counter
from dataclasses import dataclass, field

from fedcredit.wire.messages import MAX_MESSAGE_BYTES
from server.fleet_places import Places

# A message of ours, and what Flower puts around it. Only the path that carries vectors takes so much.
LONGEST_BODY = MAX_MESSAGE_BYTES + 2**20
# More than any request has that carries no vector.
SHORT_BODY = 2**16
# Connections on which nobody has proved to be a node, those in the middle of their TLS handshake too; and a node's.
STRANGERS, STRANGERS_EACH, CONNECTIONS_OF_NODE = 256, 32, 8
# A SuperNode asks for messages, sends a sign of life, and moves two objects at a time.
REQUESTS, REQUESTS_OF_NODE = 256, 5
# Bytes of long requests that are being received or answered. Each node can send one longest message at a time.
BODIES, BODIES_OF_NODE = 4 * LONGEST_BODY, LONGEST_BODY
# From the start of a connection, or the end of an answer, to the last header of the next request.
HEADERS_S = 30.0
# A body gets this long, and longer the more bytes it has. An answer goes out in pieces; the next two or three of them
# get this long to be taken.
BYTES_S, SLOWEST_BYTES_PER_S = 30.0, 2**18
PIECE = 2**16


class Room:
    """So much in all, and so much for each holder.

    Parameters
    ----------
    total, each
        The two limits.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total, self._each = total, each
        self._held: Counter[str] = Counter()

    def take(self, holder: str, amount: int = 1) -> bool:
        """Take an amount if both limits allow it; whether they did."""
        if self._held.total() + amount > self._total or self._held[holder] + amount > self._each:
            return False
        self._held[holder] += amount
        return True

    def give(self, holder: str, amount: int = 1) -> None:
        """Give back what was taken."""
        self._held[holder] -= amount
        if self._held[holder] <= 0:
            del self._held[holder]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is counted on one port.

    Attributes
    ----------
    places
        Of connections.
    requests
        Of nodes, that are being received or answered.
    bodies
        Bytes of the long ones among them.
    """

    places: Places = field(default_factory=lambda: Places(STRANGERS, STRANGERS_EACH, CONNECTIONS_OF_NODE))
    requests: Room = field(default_factory=lambda: Room(REQUESTS, REQUESTS_OF_NODE))
    bodies: Room = field(default_factory=lambda: Room(BODIES, BODIES_OF_NODE))


def time_for(length: int) -> float:
    """Seconds in which so many bytes must have come."""
    return BYTES_S + length / SLOWEST_BYTES_PER_S
