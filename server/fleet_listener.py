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
from server.fleet_limits import HEADERS_S, PIECE, time_for
from server.fleet_places import Places

_LOG = logging.getLogger(__name__)
_SAY_AGAIN_S = 60.0


class CountedSocket(socket.socket):
    """A connection that says when it is closed."""

    closed: "weakref.finalize[Any, Any]"

    def close(self) -> None:
        """Close it, and give its place to another."""
        super().close()
        self.closed()


class ListeningSocket(socket.socket):
    """Accepts connections, and gives each a place."""

    places: Places
    _crowded: bool = False
    _said: float = -_SAY_AGAIN_S

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises
        ------
        BlockingIOError
            If the last one took another's place: asyncio, which takes up to 2,048 at once, closes that one first.
        """
        if self._crowded:
            self._crowded = False
            raise BlockingIOError
        descriptor, address = self._accept()  # type: ignore[attr-defined]
        connection = CountedSocket(self.family, self.type, self.proto, fileno=descriptor)
        client = (str(address[0]), int(address[1]))
        seen: weakref.ref[socket.socket] = weakref.ref(connection)
        connection.closed = weakref.finalize(connection, self.places.leave, client, seen)
        if (cut := self.places.enter(client, seen)) is not None:
            self._crowded = True
            self._say(cut)
        return connection, address

    def _say(self, holder: str) -> None:
        """A line for the operator, at most one a minute: strangers shall not fill the log."""
        now = time.monotonic()
        if now - self._said >= _SAY_AGAIN_S:
            self._said = now
            _LOG.warning(
                "too many strangers: cut the oldest of %s for a new one; who else was cut is not said here", holder
            )


def listen(host: str, port: int, places: Places) -> ListeningSocket:
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
    listening.places = places
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
    """A connection that is cut if its client takes too long for a request's headers, or leaves an answer unread."""

    _headers_due: asyncio.TimerHandle | None = None
    _answer_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        # Else an answer would count as sent while a megabyte of it waits here.
        transport.set_write_buffer_limits(high=PIECE)
        self._wait_for_headers()

    def on_response_complete(self) -> None:
        """Watch whether the rest of the answer is taken, and the next request comes."""
        self._wait_for_headers()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Watch whether the client takes what waits; whoever writes more to it waits too, perhaps for ever."""
        super().pause_writing()
        _cancel(self._answer_due)
        self._answer_due = self.loop.call_later(time_for(0), self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken most of it."""
        _cancel(self._answer_due)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to watch."""
        _cancel(self._headers_due)
        _cancel(self._answer_due)
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        _cancel(self._headers_due)
        self._headers_due = self.loop.call_later(HEADERS_S, self._cut_if_idle)

    def _cut_if_idle(self) -> None:
        cycle: Any = self.cycle  # None before the first request, whatever uvicorn's annotation says.
        if cycle is None or cycle.response_complete:
            self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
