"""Custodians behind a Unix socket: one gRPC method, bytes in and bytes out, and the standard health service.

The socket's folder decides who can connect; the messages decide who is answered. Several custodians can share a
process (a simulation on one machine); the request's ``institution`` metadata then says which one is meant.
"""

import os
import socket as sockets
import threading
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedcredit.custodian.custodian import Custodian
from fedcredit.errors import ConfigError
from fedcredit.wire.messages import MAX_MESSAGE_BYTES

SERVICE = "fedcredit.v1.Custodian"
METHOD = f"/{SERVICE}/Handle"
_WORKERS = 4
_LONGEST_SOCKET_PATH = 100


class CustodianService:
    """A running service; use as a context manager or call `stop`.

    Parameters
    ----------
    custodians
        By institution id.
    socket
        Path of the Unix socket; a stale one is replaced.

    Raises
    ------
    ConfigError
        If the path is too long for a Unix socket, its folder does not exist, or a file is there.
    """

    def __init__(self, custodians: Mapping[str, Custodian], socket: Path) -> None:
        check_socket(socket)
        self._custodians = dict(custodians)
        self._socket = socket
        limits = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=_WORKERS), options=limits)
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._handle)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Handle": method}),))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bind the socket, readable and writable by this user only, and report SERVING.

        Raises
        ------
        ConfigError
            If another custodian listens there, or the socket cannot be bound.
        """
        if _answers(self._socket):
            raise ConfigError(f"socket {self._socket} is in use by another custodian; stop that one or choose another.")
        self._socket.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise ConfigError(f"socket {self._socket} cannot be made; check who may write to its folder.") from error
        finally:
            os.umask(previous)
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_s: float = 5.0) -> None:
        """Report NOT_SERVING, finish the messages in hand and close."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()
        self._socket.unlink(missing_ok=True)
        self._stopped.set()

    def wait(self) -> None:
        """Block until `stop` was called."""
        self._stopped.wait()

    def _handle(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        custodian = self._chosen(dict(context.invocation_metadata()).get("institution"))
        if custodian is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such institution here")
        return custodian.handle(request)

    def _chosen(self, institution: str | bytes | None) -> Custodian | None:
        if institution is None and len(self._custodians) == 1:
            return next(iter(self._custodians.values()))
        return self._custodians.get(str(institution))


def check_socket(socket: Path) -> None:
    """Refuse a path where no Unix socket can be.

    Raises
    ------
    ConfigError
        If the path is too long, its folder does not exist, or a file is there.
    """
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        raise ConfigError(f"socket path {socket} is over {_LONGEST_SOCKET_PATH} bytes long; choose a shorter one.")
    if not socket.parent.is_dir():
        raise ConfigError(f"folder {socket.parent} does not exist; create it for the custodian's socket.")
    if socket.exists() and not socket.is_socket():
        raise ConfigError(f"{socket} is a file and no socket; choose another path for the custodian's socket.")


def _answers(socket: Path) -> bool:
    with sockets.socket(sockets.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(socket)) == 0
