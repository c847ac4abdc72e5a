"""Which requests get to Flower from outside: decided on the bytes of the path, for everything a client can write."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fleet_guard import fleet_only, is_fleet_request


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
