"""What institutions reach of the SuperLink: its fleet paths and its health, and nothing else.

Flower serves all of its paths on one port, the control paths without any authentication: whoever reaches them can start
runs and register nodes. So the port that institutions reach answers only what is written exactly like one of the
allowed paths; everything else, however it is spelt, is 404 and never gets to Flower.

Flower also takes messages from a node that are no replies, and hands them to any other node as if they were the
coordinator's. A member could so keep another one busy. Here a node sends replies and nothing else.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from fedcredit.wire.messages import MAX_MESSAGE_BYTES

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# A message of ours, and what Flower puts around it.
LONGEST_BODY = MAX_MESSAGE_BYTES + 2**20
_MOST_DIGITS = 12
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


def is_short(scope: Scope) -> bool:
    """Whether a request says how long it is, and is no longer than a message: Flower reads it before it asks whose."""
    headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(name == b"transfer-encoding" for name, _ in headers) or len(lengths) > 1:
        return False
    if not lengths:
        return bool(scope["method"] == "GET")
    return lengths[0].isdigit() and len(lengths[0]) <= _MOST_DIGITS and int(lengths[0]) <= LONGEST_BODY


def fleet_only(application: Application, is_replies: Callable[[bytes], bool]) -> Application:
    """The same application with everything but the fleet paths and the health answered by 404, or 413 if too long.

    Parameters
    ----------
    is_replies
        Whether the body of a push of messages holds replies of its sender to the coordinator and nothing else; what
        does not is answered by 403.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_fleet_request(scope):
            await _refuse(send, 404)
        elif not is_short(scope):
            await _refuse(send, 413)
        elif scope.get("raw_path") != PUSH:
            await application(scope, receive, send)
        elif (body := await _body(receive)) is not None and is_replies(body):
            await application(scope, _again(body, receive), send)
        else:
            await _refuse(send, 403)

    return guarded


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the sender goes before it is there."""
    parts: list[bytes] = []
    while (event := await receive())["type"] == "http.request":
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, and then what else comes."""
    events = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> MutableMapping[str, Any]:
        return next(events, None) or await receive()

    return replayed
