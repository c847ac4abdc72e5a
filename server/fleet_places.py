"""Who may hold a connection to the port that institutions reach: a newcomer always gets in, and the oldest give way.

If a full house turned newcomers away, whoever fills it first would keep everybody else out, with connections that cost
nothing. So a stranger who comes when there is no room takes the place of another: of the oldest of its own address if
that has its share, else of the oldest of the address that has most. A connection that has proved to be a node's leaves
the strangers for good and gives way only to later ones of the same node.
"""

import socket
import weakref
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TypeAlias

# As the connection's other end is named: its host and port.
Client: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """A connection that is open, and whose it is: a stranger's address, or a node."""

    connection: "weakref.ref[socket.socket]"
    holder: str
    proved: bool = False

    def cut(self) -> None:
        """End it in both directions; its transport finds out by itself."""
        connection = self.connection()
        with suppress(OSError):
            if connection is not None:
                connection.shutdown(socket.SHUT_RDWR)


class Places:
    """Those that are taken.

    Parameters
    ----------
    strangers, each, node
        Most connections of all strangers, of one stranger, and of one node.
    """

    def __init__(self, strangers: int, each: int, node: int) -> None:
        self._strangers, self._each, self._node = strangers, each, node
        # The oldest first.
        self._places: dict[Client, _Place] = {}

    def __len__(self) -> int:
        """How many are taken."""
        return len(self._places)

    def enter(self, client: Client, connection: "weakref.ref[socket.socket]") -> str | None:
        """Give a new connection a place; whose oldest one was cut for it, if any."""
        self._places.pop(client, None)
        holder = holder_of(client[0])
        self._places[client] = _Place(connection, holder)
        held = Counter(place.holder for place in self._places.values() if not place.proved)
        if held[holder] <= self._each:
            if held.total() <= self._strangers:
                return None
            # Of equals the first, which has the oldest place.
            holder = max(held, key=held.__getitem__)
        self._cut_oldest(holder, proved=False)
        return holder

    def prove(self, client: Client, node: str) -> None:
        """Count a connection as a node's from now on, and as its newest."""
        place = self._places.pop(client, None)
        if place is None:
            return
        self._places[client] = replace(place, holder=node, proved=True)
        if sum(one.proved and one.holder == node for one in self._places.values()) > self._node:
            self._cut_oldest(node, proved=True)

    def leave(self, client: Client, connection: "weakref.ref[socket.socket]") -> None:
        """A connection has ended; another one may have its client's name by now."""
        place = self._places.get(client)
        if place is not None and place.connection is connection:
            del self._places[client]

    def _cut_oldest(self, holder: str, *, proved: bool) -> None:
        places = self._places.items()
        oldest = next(client for client, one in places if one.proved is proved and one.holder == holder)
        self._places.pop(oldest).cut()


def holder_of(host: str) -> str:
    """Who counts as one stranger: an IPv4 address, or the 64 bits of an IPv6 address that its owner cannot vary."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped is not None else f"{int(address) >> 64:016x}/64"
