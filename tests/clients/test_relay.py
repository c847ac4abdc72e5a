"""The relay: bytes arrive and return unchanged, and every way to get no answer has its code."""

import threading
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
    socket = serve(lambda request, _: request[::-1])

    @settings(max_examples=20)
    @given(st.binary(max_size=200))
    def carried(payload: bytes) -> None:
        assert relay(socket, payload, None, timeout_s=5.0) == payload[::-1]

    carried()


def test_a_large_message_passes(serve: Serve) -> None:
    """gRPC alone would stop at 4 MiB."""
    socket = serve(lambda request, _: request)
    payload = bytes(range(256)) * 2**15
    assert relay(socket, payload, None, timeout_s=20.0) == payload


@pytest.mark.parametrize("institution", [None, "3"])
def test_only_a_simulated_node_says_whom_it_means(serve: Serve, institution: str | None) -> None:
    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        return str(dict(context.invocation_metadata()).get("institution")).encode()

    assert relay(serve(handler), b"", institution, timeout_s=5.0) == str(institution).encode()


def test_nobody_listens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.1)
    assert code_of(str(folder / "absent.sock"), b"x", None, timeout_s=5.0) == "custodian-unreachable"


def test_a_custodian_that_is_restarting_is_waited_for(serve: Serve, folder: Path) -> None:
    threading.Timer(0.3, serve, [lambda request, _: request]).start()
    assert relay(str(folder / "custodian.sock"), b"x", None, timeout_s=5.0) == b"x"


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
        (grpc.StatusCode.UNAVAILABLE, "custodian-unreachable"),
        (grpc.StatusCode.INTERNAL, "custodian-failed"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "custodian-failed"),
    ],
)
def test_a_status_becomes_a_code_and_its_text_stays(
    serve: Serve, status: grpc.StatusCode, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.1)

    def handler(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(status, "customer 4711 has a bad value")

    with pytest.raises(RefusalError) as caught:
        relay(serve(handler), b"x", None, timeout_s=5.0)
    assert caught.value.code == code
    assert "4711" not in str(caught.value)


def test_simulated_runs_do_not_share_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    assert simulation_socket(1).parent == tmp_path
    assert simulation_socket(1) != simulation_socket(2)


def test_without_a_flower_home_the_user_s_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLWR_HOME")
    assert simulation_socket(1).parent == Path.home() / ".flwr"
