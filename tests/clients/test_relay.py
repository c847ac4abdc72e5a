"""The relay: bytes arrive and return unchanged, and every way to get no answer has its code."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import relay as module
from clients.relay import relay, simulation_socket
from fedcredit.errors import RefusalError

Serve = Callable[..., str]


def code_of(*args: object, **kwargs: object) -> str:
    with pytest.raises(RefusalError) as caught:
        relay(*args, **kwargs)
    return caught.value.code


def test_bytes_are_carried_unread(serve: Serve) -> None:
    address = serve(lambda request, _: request[::-1])

    @settings(max_examples=20)
    @given(st.binary(max_size=200))
    def carried(payload: bytes) -> None:
        assert relay(address, payload, None, timeout_s=5.0) == payload[::-1]

    carried()


def test_a_large_message_passes(serve: Serve) -> None:
    """gRPC alone would stop at 4 MiB."""
    address = serve(lambda request, _: request)
    payload = bytes(range(256)) * 2**15
    assert relay(address, payload, None, timeout_s=20.0) == payload


@pytest.mark.parametrize("institution", [None, "3"])
def test_only_a_simulated_node_says_whom_it_means(serve: Serve, institution: str | None) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        return str(dict(context.invocation_metadata()).get("institution")).encode()

    assert relay(serve(handler), b"", institution, timeout_s=5.0) == str(institution).encode()


def test_nobody_listens(folder: Path) -> None:
    assert code_of(str(folder / "absent.sock"), b"x", None, 5.0, connect_s=0.1) == "custodian-unreachable"


def test_no_longer_than_an_answer_may_take(folder: Path) -> None:
    """Also where nobody ever listens."""
    begun = time.monotonic()
    assert code_of(str(folder / "absent.sock"), b"x", None, 0.3) in {"custodian-unreachable", "custodian-timeout"}
    assert time.monotonic() - begun < module.CONNECT_TIMEOUT_S / 2


def test_a_custodian_that_is_restarting_is_waited_for(serve: Serve, folder: Path) -> None:
    threading.Timer(0.3, serve, [lambda request, _: request]).start()
    assert relay(str(folder / "custodian.sock"), b"x", None, timeout_s=5.0) == b"x"


def test_a_custodian_that_goes_while_it_works_is_waited_for(serve: Serve, folder: Path) -> None:
    """It stores what it had in hand, however long that took, and answers from there after its restart."""
    calls: list[bytes] = []

    def handler(request: bytes, context: grpc.ServicerContext) -> bytes:
        calls.append(request)
        if len(calls) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return request[::-1]

    assert relay(serve(handler), b"abc", None, timeout_s=20.0) == b"cba"
    assert calls == [b"abc"] * 3


@pytest.mark.parametrize("token", [None, "ab" * 32])
def test_the_token_is_shown_if_there_is_one(serve: Serve, token: str | None) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        return str(dict(context.invocation_metadata()).get("fedcredit-token")).encode()

    assert relay(serve(handler), b"", None, 5.0, token) == str(token).encode()


def test_a_loopback_port_is_an_address_too(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert serve(lambda request, _: request[::-1], address) == address
    assert relay(address, b"abc", None, timeout_s=5.0) == b"cba"


def test_another_machine_is_no_address() -> None:
    assert code_of("192.0.2.1:9095", b"x", None, timeout_s=5.0) == "custodian-unreachable"


def test_a_custodian_that_is_too_slow(serve: Serve) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(10.0)
        return b""

    assert code_of(serve(handler), b"x", None, timeout_s=0.3) == "custodian-timeout"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.NOT_FOUND, "institution-unknown"),
        (grpc.StatusCode.UNAUTHENTICATED, "custodian-token"),
        (grpc.StatusCode.UNAVAILABLE, "custodian-unreachable"),
        (grpc.StatusCode.INTERNAL, "custodian-failed"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "custodian-failed"),
    ],
)
def test_a_status_becomes_a_code_and_its_text_stays(serve: Serve, status: grpc.StatusCode, code: str) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(status, "customer 4711 has a bad value")

    with pytest.raises(RefusalError) as caught:
        relay(serve(handler), b"x", None, timeout_s=5.0, connect_s=0.1)
    assert caught.value.code == code
    assert "4711" not in str(caught.value)


def test_simulated_runs_do_not_share_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    assert simulation_socket(1).parent == tmp_path
    assert simulation_socket(1) != simulation_socket(2)


def test_without_a_flower_home_the_user_s_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLWR_HOME")
    assert simulation_socket(1).parent == Path.home() / ".flwr"
