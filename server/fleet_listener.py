"""The listening socket of the fleet port and its connections: counted from the first packet, closed if they stall.

uvicorn bounds neither how many connections one address opens, nor how long a client takes for its headers, nor how long
it leaves an answer unread; and its faster parser keeps headers without end. So connections are counted where they are
accepted, before any TLS handshake (for which asyncio allows 60 s), and watched afterwards.

Names `uvicorn`'s protocol class and how asyncio accepts connections; ``tests/server/test_fleet_listener.py`` holds both
to what is assumed here.
"""

import asyncio
import logging
import socket
import time
import weakref
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from fedcredit.errors import ConfigError
from server.fleet_limits import HEADERS_S, Room, holder_of, time_for

_LOG = logging.getLogger(__name__)
_LOOK_S = 1.0
_SAY_AGAIN_S = 60.0


class CountedSocket(socket.socket):
    """A connection that says when it is closed."""

    closed: "weakref.finalize[Any, Any]"

    def close(self) -> None:
        """Close it, and give its place to another."""
        super().close()
        self.closed()


class ListeningSocket(socket.socket):
    """Accepts connections while there is room for them, and closes the others at once."""

    room: Room
    _said: float = -_SAY_AGAIN_S

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises
        ------
        ConnectionAbortedError
            If there was no room for it: asyncio goes on to the next one.
        """
        descriptor, address = self._accept()  # type: ignore[attr-defined]
        connection = CountedSocket(self.family, self.type, self.proto, fileno=descriptor)
        holder = holder_of(str(address[0]))
        taken = self.room.take(holder)
        connection.closed = weakref.finalize(connection, self.room.give if taken else _nothing, holder)
        if not taken:
            connection.close()
            self._say(holder)
            raise ConnectionAbortedError(f"too many connections, or too many from {holder}")
        return connection, address

    def _say(self, holder: str) -> None:
        """A line for the operator, at most one a minute: strangers shall not fill the log."""
        now = time.monotonic()
        if now - self._said >= _SAY_AGAIN_S:
            self._said = now
            _LOG.warning("refused a connection of %s: too many are open; who else was refused is not said here", holder)


def _nothing(_: str) -> None:
    pass


def listen(host: str, port: int, room: Room) -> ListeningSocket:
    """Bind the fleet port.

    Raises
    ------
    ConfigError
        If the address is not this machine's, or another process has the port.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = ListeningSocket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"fleet host {host} is no address of this machine ({error.strerror}).") from error
    listening.room = room
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # As asyncio does: "::" is not the IPv4 addresses too.
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"fleet port {port} of {host} cannot be used ({error.strerror}); end the process that has it, or set "
            "another host or port under fleet in COORDINATOR.yaml and tell the institutions."
        ) from error
    return listening


class WatchedConnection(H11Protocol):
    """A connection that is cut if its client takes too long for a request's headers, or to take an answer."""

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Watch whether the answer is taken, and the next request comes."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to watch."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._look is not None:
            self._look.cancel()
        waiting = self.transport.get_write_buffer_size()
        deadline = self.loop.time() + (time_for(waiting) if waiting else HEADERS_S)
        self._look = self.loop.call_later(_LOOK_S, self._look_after, deadline, waiting > 0)

    def _look_after(self, deadline: float, answering: bool) -> None:
        left = self.transport.get_write_buffer_size()
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn's annotation says.
        if cycle is not None and not cycle.response_complete:
            return  # A request is being read or answered; the guard gives it its time.
        if answering and not left:
            deadline, answering = self.loop.time() + HEADERS_S, False
        if self.loop.time() >= deadline:
            self.transport.abort()
            return
        self._look = self.loop.call_later(_LOOK_S, self._look_after, deadline, answering)
