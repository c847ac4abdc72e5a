"""The fleet port under clients that stall: a real listener with TLS and small limits."""

import asyncio
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import ConfigError
from server import fleet_limits, fleet_listener
from server.fleet_limits import Limits
from server.fleet_listener import CountedSocket, listen
from tests.fleet_door import (
    ANSWER,
    HERE,
    LONG_S,
    PUSH_OBJECT,
    SHORT_S,
    Door,
    fleet_door,
    request,
    rest_of,
    small_limits,
    soon,
)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(fleet_listener, "HEADERS_S", SHORT_S)
    monkeypatch.setattr(fleet_limits, "BYTES_S", SHORT_S)
    with fleet_door(tmp_path) as opened:
        yield opened


def test_a_place_is_free_again_when_its_connection_ends(door: Door) -> None:
    with door.open(), door.open():
        assert soon(lambda: len(door.limits.places) == 2)
    assert soon(lambda: len(door.limits.places) == 0)


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
        stalled.sendall(request(100_000, b"part", PUSH_OBJECT))
        assert soon(lambda: door.held() == 100_000)
        assert rest_of(stalled).startswith(b"HTTP/1.1 408")
    assert soon(lambda: door.held() == 0)


def test_bodies_under_way_are_bounded(door: Door) -> None:
    with door.secure() as first, door.secure() as second:
        first.sendall(request(150_000, b"part", PUSH_OBJECT))
        assert soon(lambda: door.held() == 150_000)
        second.sendall(request(100_000, b"longer", PUSH_OBJECT))
        assert rest_of(second).startswith(b"HTTP/1.1 503")
        first.sendall(bytes(150_000 - 4))
        assert first.recv(2**16).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_takes_does_not_stay(door: Door) -> None:
    with door.secure() as deaf:
        deaf.sendall(request(1, b"x", "/v1/fleet/much"))
        assert soon(lambda: len(door.limits.places) == 0)
        assert len(rest_of(deaf)) < ANSWER


def test_an_answer_that_is_taken_slowly_comes_whole(door: Door) -> None:
    """Slower than the time for headers, and much faster than what counts as no progress."""
    pause, taken = threading.Event(), 0
    with door.secure() as slow:
        slow.sendall(request(1, b"x", "/v1/fleet/much"))
        while taken < ANSWER:
            part = slow.recv(2**16)
            assert part, f"cut after {taken} bytes"
            taken += len(part)
            if taken % 2**20 < len(part):
                pause.wait(2 * SHORT_S / (ANSWER // 2**20))


def test_a_crowd_that_comes_at_once_is_never_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio takes all that wait before it closes any; each costs a descriptor and a quarter of a megabyte."""
    crowd, came, most = 60, 0, 0
    seen: weakref.WeakSet[CountedSocket] = weakref.WeakSet()

    class SeenSocket(CountedSocket):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            nonlocal came, most
            super().__init__(*arguments, **named)
            seen.add(self)
            came, most = came + 1, max(most, sum(one.fileno() >= 0 for one in seen))

    async def serve(fleet: socket.socket, clients: ExitStack) -> None:
        async with (
            await asyncio.get_running_loop().create_server(asyncio.Protocol, sock=fleet, backlog=2048),
            asyncio.timeout(LONG_S),
        ):
            while came < crowd:
                await asyncio.sleep(0)
            clients.close()
            while any(one.fileno() >= 0 for one in seen):
                await asyncio.sleep(0)

    monkeypatch.setattr(fleet_listener, "CountedSocket", SeenSocket)
    with listen(HERE, 0, small_limits().places) as fleet, ExitStack() as clients:
        for _ in range(crowd):
            clients.enter_context(socket.create_connection(fleet.getsockname()))
        asyncio.run(serve(fleet, clients))
    assert most < 10


def test_a_port_that_is_taken_is_named_with_a_remedy() -> None:
    with socket.create_server((HERE, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"fleet port {port} of {HERE} cannot be used .* end the process"):
            listen(HERE, port, Limits().places)


def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0, Limits().places)
