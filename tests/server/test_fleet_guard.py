"""Which requests get to Flower from outside: decided on the bytes of the path, for everything a client can write."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fleet_guard import PUSH, fleet_only, is_fleet_request, length_of
from server.fleet_limits import LONGEST_BODY, UNPROVED_BODY, Room

ROOM = Room(LONGEST_BODY, LONGEST_BODY)


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

    asyncio.run(fleet_only(application, bool, bool, ROOM)(asked(b"/v1/control/start-run"), application, send))  # type: ignore[arg-type]
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
    assert (length_of({**asked(b"/v1/fleet/pull-messages", method), "headers": headers}) is not None) is passes
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        sent.append({"status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    path = b"/health" if method == "GET" else b"/v1/fleet/pull-messages"

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(fleet_only(application, bool, bool, ROOM)({**asked(path, method), "headers": headers}, receive, send))
    assert sent[0]["status"] == (200 if passes else 413)


@pytest.mark.parametrize(("whole", "status"), [(True, 200), (False, 403)])
@pytest.mark.parametrize("pieces", [[b"replies"], [b"re", b"plies"], [b"", b"replies", b""]])
def test_what_a_node_pushes_is_judged_as_a_whole_and_passed_on_unchanged(
    pieces: list[bytes], whole: bool, status: int
) -> None:
    sent, judged, passed = [], [], []
    events = [
        {"type": "http.request", "body": one, "more_body": number < len(pieces) - 1}
        for number, one in enumerate(pieces)
    ]
    waiting = iter([*events, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(waiting)

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        passed.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def is_replies(body: bytes) -> bool:
        judged.append(body)
        return whole

    scope = {**asked(PUSH), "headers": [(b"content-length", b"7")]}
    asyncio.run(fleet_only(application, bool, is_replies, ROOM)(scope, receive, send))
    assert judged == [b"replies"]
    assert sent[0]["status"] == status
    if whole:
        assert passed == [{"type": "http.request", "body": b"replies", "more_body": False}, {"type": "http.disconnect"}]
    else:
        assert passed == []


@pytest.mark.parametrize(("longer", "known", "status"), [(1, False, 401), (0, False, 200), (1, True, 200)])
def test_what_is_long_is_taken_of_nodes_only_and_not_read_before(longer: int, known: bool, status: int) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        assert status == 200, "it was read"
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(*_: Any) -> None:
        sent.append({"status": 200})

    scope = {
        **asked(b"/v1/fleet/push-object"),
        "headers": [(b"content-length", b"%d" % (UNPROVED_BODY + longer))],
    }
    asyncio.run(fleet_only(application, lambda _: known, bool, ROOM)(scope, receive, send))
    assert sent[0]["status"] == status


def test_a_push_that_breaks_off_gets_to_nobody() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(*_: Any) -> None:
        pytest.fail("it got through")

    scope = {**asked(PUSH), "headers": [(b"content-length", b"7")]}
    asyncio.run(fleet_only(application, bool, bool, ROOM)(scope, receive, send))
    assert sent[0]["status"] == 408
