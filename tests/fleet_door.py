"""A fleet port with small limits, and clients that write bytes to it: real sockets, real TLS."""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from server.fleet_guard import fleet_only
from server.fleet_limits import Limits, Room
from server.fleet_listener import WatchedConnection, listen
from server.fleet_places import Places
from tests.certificates import authority

HERE, ELSEWHERE, BEYOND = "127.0.0.1", "127.0.0.2", "127.0.0.3"
PULL, PUSH_OBJECT = "/v1/fleet/pull-messages", "/v1/fleet/push-object"
# What small limits leave to time, and how long a test waits for what has to come.
SHORT_S, LONG_S = 0.3, 10.0
ANSWER = 2**25


class SeenRoom(Room):
    """Room that can be looked at."""

    def held(self) -> int:
        return self._held.total()


def small_limits() -> Limits:
    """Four strangers, two of an address; two connections and three requests of a node; 300 kB of long requests."""
    return Limits(Places(4, 2, 2), SeenRoom(8, 3), SeenRoom(300_000, 200_000))


@dataclass
class Door:
    """A fleet port in front of an application that answers the bytes it got, or very many.

    Attributes
    ----------
    asked
        Paths that the application was asked for.
    left
        Nodes that were members and are no more.
    """

    port: int
    context: ssl.SSLContext
    limits: Limits
    asked: list[str]
    left: set[str]

    def open(self, source: str = HERE) -> socket.socket:
        """A connection before its TLS handshake."""
        return socket.create_connection((HERE, self.port), timeout=LONG_S, source_address=(source, 0))

    def secure(self, source: str = HERE) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.open(source), server_hostname="localhost")

    def held(self) -> int:
        """Bytes of long requests under way."""
        assert isinstance(self.limits.bodies, SeenRoom)
        return self.limits.bodies.held()

    def ask(self, request: bytes, source: str = HERE) -> bytes:
        """The answer to a request on a connection of its own."""
        with self.secure(source) as connection:
            return asked_on(connection, request)


def request(length: int, body: bytes, path: str = PULL, node: str | None = "1") -> bytes:
    """A request of a node, or of a stranger."""
    proof = "" if node is None else f"X-Node: {node}\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{proof}Content-Length: {length}\r\n\r\n".encode() + body


def asked_on(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """One whole answer; less if the connection is cut."""
    connection.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        if not (part := connection.recv(2**16)):
            return head
        head += part
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
    while len(body) < length and (part := connection.recv(2**16)):
        body += part
    return head + b"\r\n\r\n" + body


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes or cuts the connection."""
    said = bytearray()
    try:
        while part := connection.recv(2**16):
            said += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return bytes(said)


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side closes a connection that has said nothing yet."""
    connection.settimeout(SHORT_S)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LONG_S
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return met


@contextmanager
def fleet_door(folder: Path) -> Iterator[Door]:
    """Serve in a thread, and end."""
    asked: list[str] = []
    left: set[str] = set()

    def node_of(scope: Any) -> str | None:
        """In place of Flower's signatures: the node that a header names."""
        named = next((value.decode() for name, value in scope["headers"] if name == b"x-node"), None)
        return None if named in left else named

    async def echo(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        asked.append(scope["path"])
        body = (await receive())["body"]
        answer = bytes(ANSWER) if scope["path"].endswith("much") else body
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    issuer, limits = authority(), small_limits()
    certificate, key = issuer.issue(folder)
    fleet = listen(HERE, 0, limits.places)
    config = uvicorn.Config(
        fleet_only(echo, node_of, bool, limits), ssl_certfile=certificate, ssl_keyfile=key, http=WatchedConnection,
        lifespan="off", log_level="critical", ws="none", timeout_keep_alive=60,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[fleet])))
    thread.start()
    context = ssl.create_default_context(cafile=issuer.write(folder / "ca.pem"))
    yield Door(fleet.getsockname()[1], context, limits, asked, left)
    server.should_exit = True
    thread.join(LONG_S)
    fleet.close()
    assert not thread.is_alive()
