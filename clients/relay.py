"""Carry opaque bytes to the custodian that listens on this machine, and its answer back.

The custodian is a process of its own, with its own user, key, ledger and data. This module knows one gRPC
method of it and nothing about what travels: it opens no record, key or model, and reads no byte that it
carries.
"""

import os
from pathlib import Path

import grpc

from fedcredit.errors import RefusalError

HANDLE = "/fedcredit.v1.Custodian/Handle"
INSTITUTION_KEY = "institution"
CONNECT_TIMEOUT_S = 10.0

_UNLIMITED = -1  # The custodian sets the limits; it knows what a message may hold.
_OPTIONS = (
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.max_send_message_length", _UNLIMITED),
)
_CODE_OF_STATUS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "custodian-timeout",
    grpc.StatusCode.UNAVAILABLE: "custodian-unreachable",
    grpc.StatusCode.NOT_FOUND: "institution-unknown",
}


def relay(socket: str, request: bytes, institution: str | None, timeout_s: float) -> bytes:
    """Hand one request to the custodian and return its answer.

    Parameters
    ----------
    socket
        Path of the custodian's Unix socket.
    request
        Signed envelope, passed on unread.
    institution
        Which custodian, where one process serves several (simulation only); None for the only one.
    timeout_s
        Most seconds to wait for the answer, once connected; > 0.

    Raises
    ------
    RefusalError
        If no answer came; its code is ``custodian-unreachable``, ``custodian-timeout``,
        ``institution-unknown`` or ``custodian-failed``.
    """
    metadata = () if institution is None else ((INSTITUTION_KEY, institution),)
    with grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS) as channel:
        _connect(channel, socket, min(CONNECT_TIMEOUT_S, timeout_s))
        handle: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HANDLE)
        try:
            return handle(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            status = error.code()
            code = _CODE_OF_STATUS.get(status, "custodian-failed")
            raise RefusalError(code, f"the custodian at {socket} gave no answer ({status.name}).") from error


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


def _connect(channel: grpc.Channel, socket: str, timeout_s: float) -> None:
    """Wait for the custodian, which may be restarting."""
    try:
        grpc.channel_ready_future(channel).result(timeout=timeout_s)
    except grpc.FutureTimeoutError as error:
        raise RefusalError(
            "custodian-unreachable",
            f"no custodian listens at {socket}; start it with 'fedcredit custodian serve SITE.yaml'.",
        ) from error
