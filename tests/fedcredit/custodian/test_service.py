"""The service's door: socket and its mode, loopback port, token, health, and a stop with a request in hand."""

import grp
import os
import socket as sockets
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fedcredit.custodian.address import CHANNEL_OPTIONS, METHOD, call_metadata, grpc_target
from fedcredit.custodian.door import Door
from fedcredit.custodian.service import CustodianService
from fedcredit.custodian.token_gate import TokenGate
from fedcredit.errors import ConfigError

TOKEN, OTHER = "ab" * 32, "ac" * 32
WAIT_S = 20.0


class Echo:
    """Stands where a custodian would: the service looks into nothing that it carries."""

    def handle(self, request: bytes) -> bytes:
        return request[::-1]


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def handle(self, request: bytes) -> bytes:
        self.begun.set()
        assert self.may_end.wait(WAIT_S)
        return request[::-1]


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.handled_calls: list[tuple[bytes, bytes]] = []
        self.rejections: Counter[str] = Counter()

    def handled(self, request: bytes, reply: bytes, seconds: float) -> None:
        assert seconds >= 0
        self.handled_calls.append((request, reply))

    def rejected(self, reason: str) -> None:
        self.rejections[reason] += 1


@pytest.fixture
def socket():
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield Path(name) / "c.sock"


@pytest.fixture
def port():
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def calling(address, method=METHOD, **metadata):
    """A call to one method at an address, as its caller makes it."""
    with grpc.insecure_channel(grpc_target(address), options=CHANNEL_OPTIONS) as channel:
        call = channel.unary_unary(method)
        yield lambda request=b"abc": call(request, timeout=WAIT_S, metadata=tuple(metadata.items()))


def ask(address, token=None, request=b"abc", method=METHOD):
    with grpc.insecure_channel(grpc_target(address), options=CHANNEL_OPTIONS) as channel:
        return channel.unary_unary(method)(request, timeout=WAIT_S, metadata=call_metadata(None, token))


def status_of(*given, **named):
    with pytest.raises(grpc.RpcError) as caught:
        ask(*given, **named)
    return caught.value.code()


def test_without_a_token_the_socket_s_mode_decides(socket):
    with CustodianService({"bank-1": Echo()}, socket):
        assert socket.stat().st_mode & 0o777 == 0o600
        assert ask(socket) == b"cba"
    assert not socket.exists()


@pytest.mark.parametrize("shown", [None, "", OTHER, TOKEN[:-1], TOKEN + "0", TOKEN.upper()])
def test_who_does_not_show_the_token_is_turned_away(socket, shown):
    notes = Notes()
    with CustodianService({"bank-1": Echo()}, Door(socket, token=TOKEN), notes):
        assert status_of(socket, shown) is grpc.StatusCode.UNAUTHENTICATED
        assert (notes.handled_calls, notes.rejections) == ([], {"token": 1})
        assert ask(socket, TOKEN) == b"cba"
        assert (notes.handled_calls, notes.rejections) == ([(b"abc", b"cba")], {"token": 1})


def test_a_token_in_bytes_is_no_token(socket):
    """The names of binary metadata end in -bin; such a value under another name never comes."""
    gate = TokenGate(TOKEN, lambda: None, lambda _: b"")

    class Details:
        method = METHOD
        invocation_metadata = (("fedcredit-token", b"\xff\xfe"),)

    assert gate.intercept_service(lambda _: None, Details()) is not None  # turned away, not passed on
    Details.invocation_metadata = (("fedcredit-token", TOKEN),)
    assert gate.intercept_service(lambda _: None, Details()) is None


def test_a_message_without_the_token_is_not_read(socket):
    """100 MiB are over the limit: whoever read them would answer RESOURCE_EXHAUSTED."""
    with CustodianService({"bank-1": Echo()}, Door(socket, token=TOKEN)):
        big = bytes(100 * 2**20)
        assert status_of(socket, TOKEN, big) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status_of(socket, OTHER, big) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("token", [None, OTHER])
def test_health_is_open_and_nothing_else_is(socket, token):
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with CustodianService({"bank-1": Echo()}, Door(socket, token=TOKEN)):
        with grpc.insecure_channel(grpc_target(socket)) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        for method in (reflection, "/fedcredit.v1.Custodian/Other", "/grpc.healthy/Check"):
            assert status_of(socket, token, method=method) is grpc.StatusCode.UNAUTHENTICATED
            assert status_of(socket, TOKEN, method=method) is grpc.StatusCode.UNIMPLEMENTED


def test_a_loopback_port_answers_with_the_token(socket, port, monkeypatch):
    """Also where the environment names a proxy for the way out: the call never goes there."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    address = f"127.0.0.1:{port}"
    with CustodianService({"bank-1": Echo()}, Door(socket, port=port, token=TOKEN)):
        assert ask(address, TOKEN) == ask(socket, TOKEN) == b"cba"
        assert status_of(address) is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(OSError, match="refused"):
            sockets.create_connection(("127.0.0.2", port), timeout=WAIT_S)  # loopback too, and not bound
    with pytest.raises(OSError, match="refused"):
        sockets.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def test_a_port_without_a_token_is_not_opened(socket, port):
    with pytest.raises(ConfigError, match="name a relay_token"):
        CustodianService({"bank-1": Echo()}, Door(socket, port=port))


def test_a_taken_port_is_said_and_no_socket_stays(socket, port):
    door = Door(socket, port=port, token=TOKEN)
    with CustodianService({"bank-1": Echo()}, Door(socket.with_name("d.sock"), port=port, token=TOKEN)):
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            CustodianService({"bank-2": Echo()}, door).start()
        assert not socket.exists()
    with CustodianService({"bank-2": Echo()}, door):
        assert ask(socket, TOKEN) == b"cba"


def test_a_group_may_connect(socket):
    own = [grp.getgrgid(os.getegid())]
    group = (own if os.geteuid() else [one for one in grp.getgrall() if one.gr_gid])[0].gr_name
    with CustodianService({"bank-1": Echo()}, Door(socket, group=group)):
        status = socket.stat()
        assert (status.st_mode & 0o777, grp.getgrgid(status.st_gid).gr_name) == (0o660, group)
        assert ask(socket) == b"cba"


def test_an_unknown_group_is_said(socket):
    with pytest.raises(ConfigError, match="groupadd nobody-has-this"):
        CustodianService({"bank-1": Echo()}, Door(socket, group="nobody-has-this"))


def test_a_group_that_this_account_is_not_in_is_said(socket, monkeypatch):
    foreign = next(one for one in grp.getgrall() if one.gr_gid not in {os.getegid(), *os.getgroups()})
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigError, match=f"usermod -aG {foreign.gr_name}"):
        CustodianService({"bank-1": Echo()}, Door(socket, group=foreign.gr_name))


def test_who_is_meant_must_be_here(socket):
    notes = Notes()
    with CustodianService({"bank-1": Echo(), "bank-2": Echo()}, socket, notes):
        with calling(socket, institution="bank-2") as call:
            assert call() == b"cba"
        for named in ({}, {"institution": "bank-3"}):
            with calling(socket, **named) as call, pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert notes.rejections == {"institution": 2}


def test_a_stop_finishes_the_message_in_hand(socket):
    slow = Slow()
    service = CustodianService({"bank-1": slow}, socket)
    service.start()
    with grpc.insecure_channel(grpc_target(socket)) as channel:
        told = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert next(told).status == health_pb2.HealthCheckResponse.SERVING
        answer = channel.unary_unary(METHOD).future(b"abc", timeout=WAIT_S)
        assert slow.begun.wait(WAIT_S)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        assert next(told).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not answer.done()
        slow.may_end.set()
        assert answer.result(WAIT_S) == b"cba"
        told.cancel()
        stopping.join(WAIT_S)
    assert not stopping.is_alive()
    assert not socket.exists()


@pytest.mark.parametrize(("method", "code"), [("Check", "OK"), ("Watch", "UNAUTHENTICATED")])
def test_a_stranger_s_unsent_messages_hold_nobody_up(socket, method, code):
    """Health is asked of a custodian without a token; a call that is never finished must not take a thread."""
    never = threading.Event()

    def unsent():
        never.wait(WAIT_S)
        yield b""

    service = CustodianService({"bank-1": Echo()}, Door(socket, token=TOKEN))
    with service, grpc.insecure_channel(grpc_target(socket)) as channel:
        open_calls = channel.stream_unary(f"/grpc.health.v1.Health/{method}")
        calls = [open_calls.future(unsent(), timeout=WAIT_S / 4) for _ in range(8)]
        assert {call.code().name for call in calls} == {code}
        assert ask(socket, TOKEN) == b"cba"
        never.set()
