"""The coordinator's one open port, attacked over real connections by strangers, by members, and by who was one.

Before the port stands an application that answers anybody: whatever keeps it safe is in front of it.
"""

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest

from server import fleet_limits, fleet_listener, fleet_log
from server.fleet_limits import SHORT_BODY
from server.fleet_log import Curb
from tests.fleet_door import (
    ANSWER,
    BEYOND,
    ELSEWHERE,
    HERE,
    PULL,
    PUSH_OBJECT,
    SHORT_S,
    Door,
    asked_on,
    fleet_door,
    is_cut,
    request,
    rest_of,
    soon,
)

OK = b"HTTP/1.1 200"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with fleet_door(tmp_path) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Door]:
    """A door that gives nobody much time to take an answer; an idle connection may stay."""
    monkeypatch.setattr(fleet_limits, "BYTES_S", SHORT_S)
    monkeypatch.setattr(fleet_listener, "HEADERS_S", 3 * SHORT_S)
    with fleet_door(tmp_path) as opened:
        yield opened


def test_strangers_on_every_connection_keep_no_node_out(door: Door) -> None:
    with ExitStack() as held:
        strangers = [held.enter_context(door.open(host)) for host in (HERE, HERE, ELSEWHERE, ELSEWHERE)]
        assert soon(lambda: len(door.limits.places) == 4)
        assert door.ask(request(5, b"hello"), BEYOND).startswith(OK)
        assert is_cut(strangers[0])
        assert not is_cut(strangers[-1])


def test_a_stranger_behind_a_node_s_address_does_not_keep_it_out(door: Door) -> None:
    with ExitStack() as held, door.secure() as node:
        assert asked_on(node, request(5, b"hello")).startswith(OK)
        for _ in range(6):
            held.enter_context(door.open())
        assert soon(lambda: len(door.limits.places) == 3)
        assert asked_on(node, request(5, b"hello")).startswith(OK)
        assert door.ask(request(5, b"hello")).startswith(OK)


def test_strangers_at_any_stage_give_way(door: Door) -> None:
    """Before TLS, in its handshake, before the first header, and in the middle of one."""
    with ExitStack() as held:
        for stage in range(4):
            stalled = held.enter_context(door.open(ELSEWHERE) if stage < 2 else door.secure(ELSEWHERE))
            said = [b"", b"\x16\x03\x01\x02\x00\x01", b"", b"GET /health HTTP/1.1\r\nHost: lo"][stage]
            stalled.sendall(said)
            for _ in range(2):
                held.enter_context(door.open(ELSEWHERE))
            if isinstance(stalled, ssl.SSLSocket):
                stalled.settimeout(SHORT_S * 10)
            assert rest_of(stalled) == b""
        assert door.ask(request(5, b"hello"), BEYOND).startswith(OK)


@pytest.mark.parametrize(("path", "status"), [(PULL, 401), (PUSH_OBJECT, 401), ("/v1/fleet/activate-node", 412)])
def test_a_stranger_s_request_gets_no_further(door: Door, path: str, status: int) -> None:
    for length in (0, SHORT_BODY):
        answer = door.ask(request(length, b"", path, node=None))
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        # Neither a name nor a reason.
        assert answer.partition(b"\r\n\r\n")[2] == b""
    assert door.asked == []


def test_who_has_left_is_a_stranger_on_the_connection_that_it_holds(door: Door) -> None:
    with door.secure() as former:
        assert asked_on(former, request(5, b"hello")).startswith(OK)
        door.left.add("1")
        assert asked_on(former, request(5, b"hello")).startswith(b"HTTP/1.1 401")
        assert rest_of(former) == b""
    assert len(door.asked) == 1


def test_http_2_is_not_spoken(door: Door) -> None:
    door.context.set_alpn_protocols(["h2"])
    with door.secure() as stranger:
        assert stranger.selected_alpn_protocol() is None
        stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert rest_of(stranger).startswith(b"HTTP/1.1 404")
    assert door.asked == []


def test_a_member_takes_one_share_from_all_its_addresses(door: Door) -> None:
    long = request(150_000, b"part", PUSH_OBJECT, node="1")
    with ExitStack() as held:
        first = held.enter_context(door.secure(HERE))
        first.sendall(long)
        assert soon(lambda: door.held() == 150_000)
        for host in (ELSEWHERE, BEYOND):
            assert door.ask(long, host).startswith(b"HTTP/1.1 503")
        whole = request(100_000, bytes(100_000), PUSH_OBJECT, node="2")
        assert door.ask(whole, ELSEWHERE).startswith(OK)


def test_a_member_s_own_connections_give_way_to_no_others(door: Door) -> None:
    with ExitStack() as held:
        greedy = [held.enter_context(door.secure(host)) for host in (HERE, ELSEWHERE, BEYOND)]
        for one in greedy:
            assert asked_on(one, request(0, b"", node="1")).startswith(OK)
        assert len(door.limits.places) == 2
        assert rest_of(greedy[0]) == b""
        assert door.ask(request(5, b"hello", node="2"), HERE).startswith(OK)


def test_answers_that_wait_for_one_another_do_not_wait_for_ever(impatient: Door) -> None:
    """A client that asks on and takes nothing: each answer waits for the one before, beyond any look at a request."""
    with impatient.secure() as deaf:
        deaf.sendall(request(1, b"x", "/v1/fleet/much") * 3)
        assert soon(lambda: len(impatient.limits.places) == 0)
        assert len(rest_of(deaf)) < ANSWER


def test_the_health_costs_a_stranger_more_than_it_costs_us(door: Door) -> None:
    """Each question needs a TLS handshake of its own, and Flower is not asked."""
    with door.secure() as stranger:
        stranger.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        assert rest_of(stranger).count(OK) == 1
    assert door.asked == []


def test_a_connection_that_is_closed_on_one_side_only_does_not_stay(impatient: Door) -> None:
    with impatient.secure() as half:
        half.sendall(request(1, b"x", "/v1/fleet/much"))
        half.shutdown(socket.SHUT_WR)
        assert soon(lambda: len(impatient.limits.places) == 0)


def test_what_is_not_http_leaves_few_lines_in_the_log(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_log, "MOST_A_MINUTE", 5)
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(Curb())
    uvicorn = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(uvicorn, "handlers", [handler])
    monkeypatch.setattr(uvicorn, "propagate", False)
    monkeypatch.setattr(uvicorn, "level", logging.WARNING)
    for _ in range(10):
        with door.secure() as stranger:
            stranger.sendall(b"\x1b[2J\n\n")
            assert rest_of(stranger).startswith(b"HTTP/1.1 400")
    assert len(written.getvalue().splitlines()) == 5
