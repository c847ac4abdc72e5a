"""What institutions reach of the SuperLink: its fleet paths and its health, and nothing else.

Flower serves all of its paths on one port, the control paths without any authentication: whoever reaches them can start
runs and register nodes. So the port that institutions reach answers only what is written exactly like one of the
allowed paths; everything else, however it is spelt, is 404 and never gets to Flower.

Flower also takes messages from a node that are no replies, and hands them to any other node as if they were the
coordinator's. A member could so keep another one busy. Here a node sends replies and nothing else.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from server.fleet_limits import LONGEST_BODY, UNPROVED_BODY, Room, holder_of, time_for

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_MOST_DIGITS = 12
# What is left of a refused body is not read.
_EMPTY = [(b"content-length", b"0"), (b"connection", b"close")]
_HEALTH = b"/health"
PUSH = b"/v1/fleet/push-messages"
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
    """How long a request says it is; None if it does not say, or is longer than a message."""
    headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers) or len(lengths) > 1:
        return None
    if not lengths:
        return 0 if scope["method"] == "GET" else None
    if not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS:
        return None
    length = int(lengths[0])
    return length if length <= LONGEST_BODY else None


def fleet_only(
    application: Application, is_known: Callable[[Scope], bool], is_replies: Callable[[bytes], bool], bodies: Room
) -> Application:
    """The same application behind the fleet paths and the health; what does not pass is answered here.

    404 for another path; 413 for what is too long; 401 for what is long and of no node; 503 where there is no room at
    present, which Flower's nodes take as a reason to try again; 408 for a body that comes too slowly or not whole; 403
    for a push of what is no reply.

    Parameters
    ----------
    is_known
        Whether a request's headers prove that a node sends it.
    is_replies
        Whether the body of a push of messages holds replies of its sender to the coordinator and nothing else.
    bodies
        Room for the bodies of all requests, in bytes.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        length, holder = length_of(scope), holder_of(str((scope.get("client") or ("",))[0]))
        if not is_fleet_request(scope):
            await _refuse(send, 404)
        elif length is None:
            await _refuse(send, 413)
        elif length > UNPROVED_BODY and not is_known(scope):
            await _refuse(send, 401)
        elif not bodies.take(holder, length):
            await _refuse(send, 503)
        else:
            try:
                await _pass(scope, receive, send, await _body(receive, length))
            finally:
                bodies.give(holder, length)

    async def _pass(scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        if body is None:
            await _refuse(send, 408)
        elif scope.get("raw_path") == PUSH and not is_replies(body):
            await _refuse(send, 403)
        else:
            await application(scope, _again(body, receive), send)

    return guarded


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _EMPTY})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive, length: int) -> bytes | None:
    """The whole body; None if the sender goes before it is there, or takes too long."""
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(time_for(length)):
            while (event := await receive())["type"] == "http.request":
                parts.append(event.get("body", b""))
                if not event.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        pass
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, and then what else comes."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> MutableMapping[str, Any]:
        return next(events, None) or await receive()

    return replayed
