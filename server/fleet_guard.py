"""What institutions reach of the SuperLink: its fleet paths and its health, and nothing else.

Flower serves all of its paths on one port, the control paths without any authentication: whoever reaches them can start
runs and register nodes. So the port that institutions reach answers only what is written exactly like one of the
allowed paths; everything else, however it is spelt, is 404 and never gets to Flower.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEALTH = b"/health"
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


def fleet_only(application: Application) -> Application:
    """The same application with everything but the fleet paths and the health answered by 404."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if is_fleet_request(scope):
            await application(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    return guarded
