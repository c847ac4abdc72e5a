"""Which requests get to Flower from outside: decided on the bytes of the path, for everything a client can write."""

import asyncio
import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fleet_guard import PUSH, PUSH_OBJECT, fleet_only, is_fleet_request, length_of
from server.fleet_limits import LONGEST_BODY, PIECE, SHORT_BODY, Limits, Room

PULL = b"/v1/fleet/pull-messages"


def asked(path: bytes, method: str = "POST", kind: str = "http", length: int | None = None) -> dict[str, Any]:
    headers = [] if length is None else [(b"content-length", b"%d" % length)]
    plain = path.decode("latin-1")
    return {
        "type": kind,
        "method": method,
        "raw_path": path,
        "path": plain,
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }


def a_node(_: Any) -> str:
    return "1"


def nobody(_: Any) -> None:
    return None


class Flower:
    """An application that takes a body, and what an asker is sent."""

    def __init__(self, answer: bytes = b"") -> None:
        self.bodies: list[bytes] = []
        self.sent: list[Any] = []
        self._answer = answer

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self._answer})

    def ask(
        self, scope: dict[str, Any], events: Iterable[Any], limits: Limits | None = None, node_of: Any = a_node
    ) -> int:
        """The status of the answer to a request."""
        waiting = iter(events)

        async def receive() -> Any:
            return next(waiting)

        async def send(message: Any) -> None:
            self.sent.append(message)

        asyncio.run(fleet_only(self, node_of, b"replies".__eq__, limits or Limits())(scope, receive, send))
        return int(self.sent[0]["status"])


def whole(body: bytes = b"") -> list[Any]:
    return [{"type": "http.request", "body": body, "more_body": False}]


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
    flower = Flower()
    assert flower.ask(asked(b"/v1/control/start-run"), []) == 404
    assert flower.bodies == []


@pytest.mark.parametrize(
    ("path", "headers", "passes"),
    [
        (b"/health", [], True),
        (b"/health", [(b"content-length", b"0")], True),
        (b"/health", [(b"content-length", b"1")], False),
        (PUSH_OBJECT, [(b"content-length", b"%d" % LONGEST_BODY)], True),
        (PUSH_OBJECT, [(b"content-length", b"%d" % (LONGEST_BODY + 1))], False),
        (PULL, [(b"content-length", b"%d" % SHORT_BODY)], True),
        (PULL, [(b"content-length", b"%d" % (SHORT_BODY + 1))], False),
        (PULL, [], False),
        (PUSH_OBJECT, [], False),
        (PULL, [(b"content-length", b"-1")], False),
        (PULL, [(b"content-length", b"9" * 5000)], False),
        (PULL, [(b"content-length", b"1"), (b"content-length", b"2")], False),
        (PULL, [(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], False),
    ],
)
def test_nobody_can_fill_the_memory(path: bytes, headers: list[tuple[bytes, bytes]], passes: bool) -> None:
    scope = {**asked(path, "GET" if path == b"/health" else "POST"), "headers": headers}
    assert (length_of(scope) is not None) is passes
    assert Flower().ask(scope, whole()) == (200 if passes else 413)


def test_flower_is_not_asked_for_its_health() -> None:
    flower = Flower()
    assert flower.ask(asked(b"/health", "GET"), [], node_of=nobody) == 200
    assert flower.bodies == []


@pytest.mark.parametrize("pushed", [b"replies", b"no reply"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_what_a_node_pushes_is_judged_as_a_whole_and_passed_on_unchanged(pushed: bytes, pieces: int) -> None:
    flower, size = Flower(), -(-len(pushed) // pieces)
    parts = [pushed[at : at + size] for at in range(0, len(pushed), size)]
    events = [{"type": "http.request", "body": one, "more_body": True} for one in parts[:-1]]
    status = flower.ask(asked(PUSH, length=len(pushed)), [*events, *whole(parts[-1])])
    assert status == (200 if pushed == b"replies" else 403)
    assert flower.bodies == ([pushed] if status == 200 else [])


def test_what_comes_after_the_body_is_passed_on() -> None:
    heard: list[Any] = []

    async def application(_scope: Any, receive: Any, _send: Any) -> None:
        heard.extend([await receive(), await receive()])

    events = iter([*whole(b"ask"), {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(events)

    asyncio.run(fleet_only(application, a_node, bool, Limits())(asked(PULL, length=3), receive, receive))  # type: ignore[arg-type]
    assert heard == [*whole(b"ask"), {"type": "http.disconnect"}]


@pytest.mark.parametrize("path", [PULL, PUSH, PUSH_OBJECT, b"/v1/fleet/activate-node"])
def test_a_stranger_is_not_read(path: bytes) -> None:
    """Who wants to begin is told so in Flower's words: at a 401 a SuperNode ends without any."""
    flower = Flower()
    assert flower.ask(asked(path, length=5), [], node_of=nobody) == (412 if path.endswith(b"activate-node") else 401)
    assert flower.bodies == []


def test_a_push_that_breaks_off_gets_to_nobody() -> None:
    flower = Flower()
    assert flower.ask(asked(PUSH, length=7), [{"type": "http.disconnect"}]) == 408
    assert flower.bodies == []


def test_tiny_parts_of_a_body_take_no_more_than_large_ones() -> None:
    parts = 20_000
    events = ({"type": "http.request", "body": b"ab", "more_body": one < parts - 1} for one in range(parts))
    tracemalloc.start()
    try:
        assert Flower().ask(asked(PUSH_OBJECT, length=2 * parts), events) == 200
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * parts


@pytest.mark.parametrize("ends", [None, 200, 403, 408])
def test_a_node_gets_its_room_back_however_its_request_ends(ends: int | None) -> None:
    limits = Limits(requests=Room(1, 1), bodies=Room(LONGEST_BODY, LONGEST_BODY))
    ways = {200: whole(b"replies"), 403: whole(b"no reply"), 408: [{"type": "http.disconnect"}]}
    if ends is None:
        with pytest.raises(RuntimeError):  # Of the asker's side, in the middle of it.
            Flower().ask(asked(PUSH_OBJECT, length=LONGEST_BODY), [], limits)
    else:
        assert Flower().ask(asked(PUSH, length=7), ways[ends], limits) == ends
    assert Flower().ask(asked(PUSH_OBJECT, length=LONGEST_BODY), whole(), limits) == 200


def test_a_node_s_requests_are_counted_and_short_ones_take_no_room_of_long_ones() -> None:
    full = Room(5, 5)
    assert full.take("another", 5)
    assert Flower().ask(asked(PULL, length=SHORT_BODY), whole(), Limits(bodies=full)) == 200
    assert Flower().ask(asked(PUSH_OBJECT, length=SHORT_BODY + 1), whole(), Limits(bodies=full)) == 503
    busy = Room(2, 1)
    assert busy.take("1")
    assert Flower().ask(asked(PULL, length=0), whole(), Limits(requests=busy)) == 503
    assert Flower().ask(asked(PULL, length=0), whole(), Limits(requests=busy), lambda _: "2") == 200


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_an_answer_goes_out_in_pieces_and_whole(size: int) -> None:
    answer = random.Random(size).randbytes(size)
    flower = Flower(answer)
    flower.ask(asked(PULL, length=0), whole())
    pieces = flower.sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == answer
    assert all(len(piece["body"]) <= PIECE for piece in pieces)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
