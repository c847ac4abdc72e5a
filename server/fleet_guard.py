"""What institutions reach of the SuperLink: its fleet paths, and nothing else.

Flower serves all of its paths on one port, the control paths without any authentication: whoever reaches them can start
runs and register nodes. So the port that institutions reach answers only what is written exactly like one of the
allowed paths; everything else, however it is spelt, is 404 and never gets to Flower.

Flower reads a whole request before it asks who sends it. Here a request's headers have to prove it first: of strangers
Flower sees nothing, and each node gets its share of what there is. The question for the health is answered here.

Flower also takes messages from a node that are no replies, and hands them to any other node as if they were the
coordinator's. A member could so keep another one busy. Here a node sends replies and nothing else.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from server.fleet_limits import LONGEST_BODY, PIECE, SHORT_BODY, Limits, time_for

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_MOST_DIGITS = 12
# What is left of a body is not read.
_EMPTY = [(b"content-length", b"0"), (b"connection", b"close")]
_HEALTH = b"/health"
_ACTIVATE = b"/v1/fleet/activate-node"
PUSH, PUSH_OBJECT = b"/v1/fleet/push-messages", b"/v1/fleet/push-object"
_FLEET = re.compile(rb"/v1/fleet/[a-z0-9]+(-[a-z0-9]+)*")


def is_fleet_request(scope: Scope) -> bool:
    """Whether a request may pass: a plain POST to a fleet path, or a GET of the health.

    The path is judged as it came over the wire: an encoded letter, a dot or a second slash is no allowed path.
    """
    if scope["type"] != "http":
        return False
    path: bytes = scope.get("raw_path", b"")
    if scope["method"] == "GET":
        return path == _HEALTH
    return scope["method"] == "POST" and _FLEET.fullmatch(path) is not None


def length_of(scope: Scope) -> int | None:
    """How long a request says it is; None if it does not say, or is longer than any of its path."""
    headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers) or len(lengths) > 1:
        return None
    longest = 0 if scope["method"] == "GET" else SHORT_BODY
    if scope.get("raw_path") == PUSH_OBJECT:
        longest = LONGEST_BODY
    if not lengths:
        return 0 if longest == 0 else None
    if not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS:
        return None
    length = int(lengths[0])
    return length if length <= longest else None


def fleet_only(
    application: Application,
    node_of: Callable[[Scope], str | None],
    is_replies: Callable[[bytes], bool],
    limits: Limits,
) -> Application:
    """The same application behind the fleet paths; what does not pass is answered here.

    200 for the health; 404 for another path; 413 for what is too long; 401 for what is of no node, or 412 as Flower has
    it where one wants to begin; 503 where there is no room at present, which Flower's nodes take as a reason to try
    again; 408 for a body that comes too slowly or not whole; 403 for a push of what is no reply.

    Parameters
    ----------
    node_of
        Which node sends a request, as its headers prove; None if they do not. Called in a thread.
    is_replies
        Whether the body of a push of messages holds replies of its sender to the coordinator and nothing else.
    limits
        What is counted for each node.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        length = length_of(scope) if is_fleet_request(scope) else None
        if not is_fleet_request(scope):
            await _answer(send, 404)
        elif length is None:
            await _answer(send, 413)
        elif scope["raw_path"] == _HEALTH:
            # Through Flower's layers it takes milliseconds, which a stranger could ask for again and again.
            await _answer(send, 200)
        elif (node := await asyncio.to_thread(node_of, scope)) is None:
            # A SuperNode that is told 401 while it begins ends without a word to its operator.
            await _answer(send, 412 if scope["raw_path"] == _ACTIVATE else 401)
        else:
            limits.places.prove(scope["client"], node)
            with _room(limits, node, length) as there_is:
                if there_is:
                    await _pass(scope, receive, _in_pieces(send), await _body(receive, length))
                else:
                    await _answer(send, 503)

    async def _pass(scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        if body is None:
            await _answer(send, 408)
        elif scope["raw_path"] == PUSH and not is_replies(body):
            await _answer(send, 403)
        else:
            await application(scope, _again(body, receive), send)

    return guarded


@contextmanager
def _room(limits: Limits, node: str, length: int) -> Iterator[bool]:
    """Hold room for one request of a node; whether there was."""
    counted = length if length > SHORT_BODY else 0
    if not limits.requests.take(node):
        yield False
        return
    try:
        if not limits.bodies.take(node, counted):
            yield False
            return
        try:
            yield True
        finally:
            limits.bodies.give(node, counted)
    finally:
        limits.requests.give(node)


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _EMPTY})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive, length: int) -> bytes | None:
    """The whole body; None if the sender goes before it is there, or takes too long."""
    # One buffer: a list would hold tiny parts at many times their size.
    body = bytearray()
    try:
        async with asyncio.timeout(time_for(length)):
            while (event := await receive())["type"] == "http.request":
                body += event.get("body", b"")
                if not event.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        pass
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, and then what else comes."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> MutableMapping[str, Any]:
        return next(events, None) or await receive()

    return replayed


def _in_pieces(send: Send) -> Send:
    """Hand over an answer piece by piece: each waits until the client has taken most of those before.

    In one piece it would lie in the transport's buffer, where nobody sees how much of it is taken.
    """

    async def sent(message: MutableMapping[str, Any]) -> None:
        body = message.get("body", b"")
        last = max(len(body) - 1, 0) // PIECE * PIECE
        for start in range(0, last, PIECE):
            await send({**message, "body": body[start : start + PIECE], "more_body": True})
        await send({**message, "body": body[last:]} if "body" in message else message)

    return sent
