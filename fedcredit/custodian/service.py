"""Custodians behind one door: one gRPC method, bytes in and bytes out, and the standard health service.

There is no reflection and no other method. Several custodians can share a process (a simulation on one machine); the
request's ``institution`` metadata then says which one is meant.
"""

import threading
import time
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedcredit.custodian.address import INSTITUTION_KEY
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.door import Door
from fedcredit.custodian.token_gate import TokenGate
from fedcredit.wire.messages import MAX_MESSAGE_BYTES

SERVICE = "fedcredit.v1.Custodian"
_WORKERS = 4


class Observer(Protocol):
    """Who is told of calls, for the institution's own figures; it must not fail."""

    def handled(self, request: bytes, reply: bytes, seconds: float) -> None:
        """Take note of a request that a custodian answered."""
        ...

    def rejected(self, reason: str) -> None:
        """Take note of a call that reached no custodian."""
        ...


class NoObserver:
    """Takes no note."""

    def handled(self, request: bytes, reply: bytes, seconds: float) -> None:
        """Nothing is noted."""

    def rejected(self, reason: str) -> None:
        """Nothing is noted."""


class CustodianService:
    """A running service; use as a context manager or call `stop`.

    Parameters
    ----------
    custodians
        By institution id.
    door
        Where it listens and whom it hears; a path is a socket for this account only.
    observer
        Told of every call.

    Raises
    ------
    ConfigError
        If nothing can listen there.
    """

    def __init__(
        self, custodians: Mapping[str, Custodian], door: Door | Path, observer: Observer | None = None
    ) -> None:
        self._door = door if isinstance(door, Door) else Door(door)
        self._door.check()
        self._custodians = dict(custodians)
        self._observer = observer or NoObserver()
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # or a second custodian would share a taken port
        ]
        token = self._door.token
        self._health = health.HealthServicer()
        gates = [] if token is None else [TokenGate(token, lambda: self._observer.rejected("token"), self._is_healthy)]
        pool = futures.ThreadPoolExecutor(max_workers=_WORKERS)
        self._server = grpc.server(pool, options=options, interceptors=[*gates])
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._handle)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Handle": method}),))
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
        """Open the door and report SERVING.

        Raises
        ------
        ConfigError
            If another custodian listens there, or it cannot be bound.
        """
        self._door.open(self._server)
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_s: float = 5.0) -> None:
        """Report NOT_SERVING, finish the messages in hand and close.

        What takes longer than `grace_s` is finished all the same, stored, and sent when it is asked for again.
        """
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()
        self._door.socket.unlink(missing_ok=True)
        self._stopped.set()

    def wait(self) -> None:
        """Block until `stop` was called."""
        self._stopped.wait()

    def _is_healthy(self, context: grpc.ServicerContext) -> bytes:
        answer: bytes = self._health.Check(health_pb2.HealthCheckRequest(), context).SerializeToString()
        return answer

    def _handle(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        custodian = self._chosen(dict(context.invocation_metadata()).get(INSTITUTION_KEY))
        if custodian is None:
            self._observer.rejected("institution")
            context.abort(grpc.StatusCode.NOT_FOUND, "no such institution here")
        begun = time.perf_counter()
        reply = custodian.handle(request)
        self._observer.handled(request, reply, time.perf_counter() - begun)
        return reply

    def _chosen(self, institution: str | bytes | None) -> Custodian | None:
        if institution is None and len(self._custodians) == 1:
            return next(iter(self._custodians.values()))
        return self._custodians.get(str(institution))
