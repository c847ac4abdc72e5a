"""The fleet port under strangers: a real listener with TLS, small limits, and clients that stall."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from fedcredit.errors import ConfigError
from server import fleet_limits, fleet_listener
from server.fleet_guard import fleet_only
from server.fleet_limits import Room
from server.fleet_listener import WatchedConnection, listen
from tests.certificates import authority

HERE, PATH = "127.0.0.1", "/v1/fleet/pull-messages"
SHORT_S, LONG_S = 0.3, 10.0
ANSWER = 2**25


class SeenRoom(Room):
    """Room that can be looked at."""

    def held(self) -> int:
        return self._held.total()


@dataclass
class Door:
    """A fleet port in front of an application that answers the bytes it got, or very many."""

    port: int
    context: ssl.SSLContext
    connections: SeenRoom
    bodies: SeenRoom

    def open(self, source: str = HERE) -> socket.socket:
        """A connection before its TLS handshake."""
        return socket.create_connection((HERE, self.port), timeout=LONG_S, source_address=(source, 0))

    def secure(self, source: str = HERE) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.open(source), server_hostname="localhost")


def request(length: int, body: bytes, path: str = PATH) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + body


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes or cuts the connection."""
    said = b""
    try:
        while part := connection.recv(2**16):
            said += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return said


def is_refused(connection: socket.socket) -> bool:
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
        pass
    return met


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    answer = bytes(ANSWER) if scope["path"].endswith("much") else body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(fleet_listener, "HEADERS_S", SHORT_S)
    monkeypatch.setattr(fleet_listener, "_LOOK_S", SHORT_S / 10)
    monkeypatch.setattr(fleet_limits, "BYTES_S", SHORT_S)
    issuer = authority()
    certificate, key = issuer.issue(tmp_path)
    connections, bodies = SeenRoom(3, 2), SeenRoom(30, 20)
    fleet = listen(HERE, 0, connections)
    config = uvicorn.Config(
        fleet_only(echo, bool, bool, bodies), ssl_certfile=certificate, ssl_keyfile=key, http=WatchedConnection,
        lifespan="off", log_level="critical", ws="none", timeout_keep_alive=60,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[fleet])))
    thread.start()
    context = ssl.create_default_context(cafile=issuer.write(tmp_path / "ca.pem"))
    yield Door(fleet.getsockname()[1], context, connections, bodies)
    server.should_exit = True
    thread.join(LONG_S)
    fleet.close()
    assert not thread.is_alive()


def test_one_address_cannot_take_all_connections_nor_all_addresses_too_many(door: Door) -> None:
    with door.open(), door.open() as second, door.open() as third:
        assert is_refused(third)
        assert not is_refused(second)
        with door.secure("127.0.0.2") as elsewhere, door.open("127.0.0.3") as beyond:
            assert is_refused(beyond)
            elsewhere.sendall(request(5, b"hello"))
            assert elsewhere.recv(2**16).startswith(b"HTTP/1.1 200")


def test_a_place_is_free_again_when_its_connection_ends(door: Door) -> None:
    with door.open(), door.open():
        assert soon(lambda: door.connections.held() == 2)
    assert soon(lambda: door.connections.held() == 0)


def test_who_does_not_send_its_headers_is_cut_off(door: Door) -> None:
    with door.secure() as silent:
        assert rest_of(silent) == b""
    with door.secure() as slow:
        slow.sendall(request(5, b"hello") + b"POST /v1/fl")
        assert rest_of(slow).count(b"HTTP/1.1") == 1


def test_headers_without_end_are_not_kept(door: Door) -> None:
    sent = 0

    def send_on(connection: socket.socket) -> None:
        nonlocal sent
        while sent < 2**24:
            connection.sendall(b"GET /health HTTP/1.1\r\nA: " + b"A" * 2**16)
            sent += 2**16

    with door.secure() as endless, pytest.raises(OSError):  # noqa: PT011  whichever the system says of a cut connection
        send_on(endless)
    assert sent < 2**24


def test_a_body_that_does_not_come_is_given_up(door: Door) -> None:
    with door.secure() as stalled:
        stalled.sendall(request(20, b"part"))
        assert rest_of(stalled).startswith(b"HTTP/1.1 408")
    assert soon(lambda: door.bodies.held() == 0)


def test_bodies_under_way_are_bounded(door: Door) -> None:
    with door.secure() as first, door.secure() as second:
        first.sendall(request(15, b"part"))
        assert soon(lambda: door.bodies.held() == 15)
        second.sendall(request(6, b"longer"))
        assert rest_of(second).startswith(b"HTTP/1.1 503")
        first.sendall(b"and the rest")
        assert first.recv(2**16).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_takes_does_not_stay(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_limits, "SLOWEST_BYTES_PER_S", ANSWER)
    with door.secure() as deaf:
        deaf.sendall(request(1, b"x", "/v1/fleet/much"))
        assert soon(lambda: door.connections.held() == 0)
        assert len(rest_of(deaf)) < ANSWER


def test_a_port_that_is_taken_is_named_with_a_remedy() -> None:
    with socket.create_server((HERE, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"fleet port {port} of {HERE} cannot be used .* end the process"):
            listen(HERE, port, Room(1, 1))


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0, Room(1, 1))
