"""Flower's SuperLink in one process with two listeners: all of it on loopback, the fleet paths for institutions.

The only module that names private parts of flwr: Flower 1.41 has no public way to serve its fleet paths apart from its
control paths. ``tests/server/test_superlink.py`` holds them to what is assumed here.

Run as ``python -m server.superlink HOST PORT CERTIFICATE KEY ARGUMENT…``: where institutions connect, and Flower's own
arguments for everything else.
"""

import asyncio
import socket
import sys
from base64 import b64decode
from collections.abc import Iterable
from functools import partial
from typing import Any

import uvicorn
from fastapi import HTTPException, Request
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PushMessagesRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan, _parse_superlink_lifespan_config
from flwr.superlink.dependencies.linkstate import get_linkstate
from flwr.superlink.main import create_app
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from google.protobuf.message import DecodeError

from fedcredit.errors import ConfigError
from server.fleet_guard import Application, Scope, fleet_only
from server.fleet_limits import Limits
from server.fleet_listener import WatchedConnection, listen
from server.fleet_log import curb_logs

# Of a reply: the message, its record, and what that holds; one more than there are.
_MOST_OBJECTS = 4


def listeners(
    fleet: tuple[str, int, str, str], arguments: list[str], limits: Limits
) -> tuple[uvicorn.Server, uvicorn.Server]:
    """The loopback listener with all of Flower's paths, and the one for institutions.

    Parameters
    ----------
    fleet
        Host, port, certificate file and key file.
    arguments
        Flower's own.
    limits
        What is counted on the fleet port.
    """
    # Flower's parser reads the command line.
    sys.argv = ["flower-superlink", *arguments]
    config = _parse_superlink_lifespan_config()
    application: Any = create_app(config, SuperLinkLifespan)
    host, port, certificate, key = fleet
    common: dict[str, Any] = {"log_level": "warning", "server_header": False, "proxy_headers": False, "ws": "none"}
    inside = uvicorn.Config(
        application,
        host=config.host,
        port=config.port,
        ssl_certfile=config.ssl_certfile,
        ssl_keyfile=config.ssl_keyfile,
        **common,
    )
    outside = uvicorn.Config(
        fleet_only(application, partial(node_of, application), is_replies, limits),
        host=host,
        port=port,
        http=WatchedConnection,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        lifespan="off",
        **common,
    )
    return uvicorn.Server(inside), uvicorn.Server(outside)


def node_of(application: Application, scope: Scope) -> str | None:
    """Which registered node signed a request's headers with its key, just now; None if none did.

    Flower asks the same once it has read the whole request; here it is asked before. Flower's question comes second:
    it fails in many ways on keys of other kinds, which are nobody's.
    """
    # What Flower asks is noted in the request's state, which is not to be what it finds there later.
    request = Request({**scope, "app": application, "state": {}})
    try:
        key = b64decode(request.headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, ""), validate=True)
        if (node := get_linkstate(request).get_node_id_by_public_key(key)) is None:
            return None
        # What signs a request to activate itself is a node, if its key is registered.
        request.state.protobuf_request = ActivateNodeRequest(public_key=key)
        authenticate_node(request)
    except (HTTPException, ValueError):
        return None
    return str(node)


def is_replies(body: bytes) -> bool:
    """Whether a push of messages holds replies of the node that sends it to the coordinator, and nothing else.

    Flower takes and keeps as many objects as are announced, and where a reply comes again with others, those too. So a
    node announces the objects of one record, under the reply's own name, which Flower binds to them.
    """
    try:
        pushed = PushMessagesRequest.FromString(body)
    except DecodeError:
        return False
    messages, trees = pushed.messages_list, pushed.message_object_trees
    return [tree.object_id for tree in trees] == [one.metadata.message_id for one in messages] and all(
        one.metadata.reply_to_message_id
        and one.metadata.src_node_id == pushed.node.node_id
        and one.metadata.dst_node_id == SUPERLINK_NODE_ID
        and _objects([tree]) <= _MOST_OBJECTS
        for one, tree in zip(messages, trees, strict=True)
    )


def _objects(trees: Iterable[ObjectTree]) -> int:
    return sum(1 + _objects(tree.children) for tree in trees)


async def serve(inside: uvicorn.Server, outside: uvicorn.Server, fleet: socket.socket) -> None:
    """Run until one of them ends; then the other ends too."""
    servers = (inside, outside)
    running = [asyncio.create_task(inside.serve()), asyncio.create_task(outside.serve(sockets=[fleet]))]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)


def main() -> None:
    """Serve until the process is told to end."""
    host, port, certificate, key, *arguments = sys.argv[1:]
    limits = Limits()
    inside, outside = listeners((host, int(port), certificate, key), arguments, limits)
    curb_logs()
    try:
        fleet = listen(host, int(port), limits.places)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    asyncio.run(serve(inside, outside, fleet))


if __name__ == "__main__":
    main()
