"""Which requests get to Flower from outside: decided on the bytes of the path, for everything a client can write."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fleet_guard import LONGEST_BODY, fleet_only, is_fleet_request, is_short


def asked(path: bytes, method: str = "POST", kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "method": method, "raw_path": path, "path": path.decode("latin-1")}


@pytest.mark.parametrize("path", [b"/v1/fleet/pull-messages", b"/v1/fleet/register-node-fleet"])
def test_fleet_paths_pass_as_posts(path: bytes) -> None:
    assert is_fleet_request(asked(path))
    for method in ("GET", "HEAD", "PUT", "OPTIONS", "post"):
        assert not is_fleet_request(asked(path, method))


def test_the_health_passes_as_a_get() -> None:
    assert is_fleet_request(asked(b"/health", "GET"))
    assert not is_fleet_request(asked(b"/health", "POST"))


@given(st.binary(max_size=60), st.sampled_from(["GET", "POST"]))
def test_no_path_passes_that_is_not_plainly_allowed(rest: bytes, method: str) -> None:
    for path in (rest, b"/v1/fleet/" + rest, b"/health" + rest):
        if is_fleet_request(asked(path, method)):
            plain = path.removeprefix(b"/v1/fleet/").replace(b"-", b"")
            assert path == b"/health" or (path.startswith(b"/v1/fleet/") and plain.isalnum() and plain == plain.lower())


def test_a_websocket_does_not_pass() -> None:
    assert not is_fleet_request(asked(b"/v1/fleet/pull-messages", kind="websocket"))


def test_what_does_not_pass_is_answered_here() -> None:
    sent: list[Any] = []

    async def application(*_: Any) -> None:
        pytest.fail("it got through")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(fleet_only(application)(asked(b"/v1/control/start-run"), application, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("method", "headers", "passes"),
    [
        ("GET", [], True),
        ("POST", [(b"content-length", b"%d" % LONGEST_BODY)], True),
        ("POST", [(b"content-length", b"%d" % (LONGEST_BODY + 1))], False),
        ("POST", [], False),
        ("POST", [(b"content-length", b"-1")], False),
        ("POST", [(b"content-length", b"9" * 5000)], False),
        ("POST", [(b"content-length", b"1"), (b"content-length", b"2")], False),
        ("POST", [(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], False),
    ],
)
def test_a_stranger_cannot_fill_the_memory(method: str, headers: list[tuple[bytes, bytes]], passes: bool) -> None:
    assert is_short({**asked(b"/v1/fleet/pull-messages", method), "headers": headers}) is passes
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        sent.append({"status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    path = b"/health" if method == "GET" else b"/v1/fleet/pull-messages"
    asyncio.run(fleet_only(application)({**asked(path, method), "headers": headers}, application, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == (200 if passes else 413)
