"""Carry opaque bytes to the custodian that listens on this machine, and its answer back.

The custodian is a process of its own, with its own user, key, ledger and data. This module knows one gRPC
method of it and nothing about what travels: it opens no record, key or model, and reads no byte that it
carries.
"""

import os
import time
from pathlib import Path

import grpc

from fedcredit.errors import RefusalError

HANDLE = "/fedcredit.v1.Custodian/Handle"
INSTITUTION_KEY = "institution"
CONNECT_TIMEOUT_S = 10.0

_RETRY_INTERVAL_S = 0.2
_UNLIMITED = -1  # The custodian sets the limits; it knows what a message may hold.
_OPTIONS = (
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
)
_CODE_OF_STATUS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "custodian-timeout",
    grpc.StatusCode.UNAVAILABLE: "custodian-unreachable",
    grpc.StatusCode.NOT_FOUND: "institution-unknown",
}


def relay(socket: str, request: bytes, institution: str | None, timeout_s: float) -> bytes:
    """Hand one request to the custodian and return its answer.

    A custodian that cannot be reached may be restarting, so it is tried again for a while. That is safe even if it
    had taken the request: it answers the same request with the bytes that it stored.

    Parameters
    ----------
    socket
        Path of the custodian's Unix socket.
    request
        Signed envelope, passed on unread.
    institution
        Which custodian, where one process serves several (simulation only); None for the only one.
    timeout_s
        Most seconds to wait for an answer; > 0.

    Raises
    ------
    RefusalError
        If no answer came; its code is ``custodian-unreachable``, ``custodian-timeout``,
        ``institution-unknown`` or ``custodian-failed``.
    """
    metadata = () if institution is None else ((INSTITUTION_KEY, institution),)
    patience = time.monotonic() + min(CONNECT_TIMEOUT_S, timeout_s)
    with grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS) as channel:
        handle: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HANDLE)
        while True:
            try:
                return handle(request, timeout=timeout_s, metadata=metadata)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > patience:
                    raise _refusal(error.code(), socket) from error
            time.sleep(_RETRY_INTERVAL_S)


def simulation_socket(run_id: int) -> Path:
    """Name where all custodians of a simulated run listen: in the private folder that Flower itself uses.

    Parameters
    ----------
    run_id
        Flower's number of the run; it keeps runs on one machine apart.
    """
    flower_home = os.environ.get("FLWR_HOME")
    folder = Path(flower_home) if flower_home else Path.home() / ".flwr"
    return folder / f"fedcredit-{run_id}.sock"


def _refusal(status: grpc.StatusCode, socket: str) -> RefusalError:
    """Say what a failed call means here; the text that came with the status is dropped."""
    code = _CODE_OF_STATUS.get(status, "custodian-failed")
    remedy = "start it with 'fedcredit custodian serve SITE.yaml', or look into its log"
    return RefusalError(code, f"the custodian at {socket} gave no answer ({status.name}); {remedy}.")
