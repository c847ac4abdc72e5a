"""How much of the coordinator strangers can take up: every limit of the port that institutions reach, in one place.

Anybody who reaches the port can open connections, and send bytes before Flower asks who they are. What they get is
counted, in all and for each address, so that one address cannot use up what the others need; and long requests are
taken of nodes only.
"""

from collections import Counter
from ipaddress import ip_address

from fedcredit.wire.messages import MAX_MESSAGE_BYTES

# A message of ours, and what Flower puts around it.
LONGEST_BODY = MAX_MESSAGE_BYTES + 2**20
# What may be sent before anybody has proved to be a node: more than any request has that carries no vector.
UNPROVED_BODY = 2**16
# Open connections, those in the middle of their TLS handshake too. A node holds one or two.
CONNECTIONS, CONNECTIONS_EACH = 256, 32
# Bytes of requests that are being received or answered. Each address can send one longest message at a time.
BODIES, BODIES_EACH = 4 * LONGEST_BODY, LONGEST_BODY
# From the start of a connection, or the end of an answer, to the last header of the next request.
HEADERS_S = 20.0
# A body, and an answer that waits to be taken, gets this long, and longer the more bytes it has.
BYTES_S, SLOWEST_BYTES_PER_S = 30.0, 2**18


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


def holder_of(host: str) -> str:
    """Who counts as one holder: an IPv4 address, or the 64 bits of an IPv6 address that its owner cannot vary."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped is not None else f"{int(address) >> 64:016x}/64"


def time_for(length: int) -> float:
    """Seconds in which so many bytes must have come or gone."""
    return BYTES_S + length / SLOWEST_BYTES_PER_S
