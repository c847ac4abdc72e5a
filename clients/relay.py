"""Carry opaque bytes to the custodian that listens on this machine, and its answer back.

The custodian is a process of its own, with its own user, key, ledger and data. This module knows one gRPC
method of it and nothing about what travels: it opens no record, key or model, and reads no byte that it
carries.
"""

import os
import time
from pathlib import Path

import grpc

from fedcredit.custodian.address import CHANNEL_OPTIONS, METHOD, call_metadata, grpc_target
from fedcredit.errors import ConfigError, RefusalError

CONNECT_TIMEOUT_S = 10.0

_RETRY_INTERVAL_S = 0.2
_UNLIMITED = -1  # The custodian sets the limits; it knows what a message may hold.
_OPTIONS = (
    *CHANNEL_OPTIONS,
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
    grpc.StatusCode.UNAUTHENTICATED: "custodian-token",
}


def relay(
    address: str,
    request: bytes,
    institution: str | None,
    timeout_s: float,
    token: str | None = None,
    connect_s: float | None = None,
) -> bytes:
    """Hand one request to the custodian and return its answer.

    A custodian that cannot be reached may be restarting, so it is tried again for a while. That is safe even if it
    had taken the request: it answers the same request with the bytes that it stored.

    Parameters
    ----------
    address
        Path of the custodian's Unix socket, or ``127.0.0.1:PORT``.
    request
        Signed envelope, passed on unread.
    institution
        Which custodian, where one process serves several (simulation only); None for the only one.
    timeout_s
        Most seconds to wait for an answer; > 0.
    token
        The relay token's hex digits; None where the site asks for none.
    connect_s
        Most seconds to try again, counted from when the custodian was first found away; 10 if left out.

    Raises
    ------
    RefusalError
        If no answer came; its code is ``custodian-unreachable``, ``custodian-timeout``, ``custodian-token``,
        ``institution-unknown`` or ``custodian-failed``.
    """
    metadata, patience = call_metadata(institution, token), None
    with grpc.insecure_channel(_target(address), options=_OPTIONS) as channel:
        handle: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return handle(request, timeout=max(deadline - time.monotonic(), 0.0), metadata=metadata)
            except grpc.RpcError as error:
                now = time.monotonic()
                if patience is None:
                    patience = min(now + (CONNECT_TIMEOUT_S if connect_s is None else connect_s), deadline)
                if error.code() is not grpc.StatusCode.UNAVAILABLE or now > patience:
                    raise _refusal(error.code(), address) from error
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


def _target(address: str) -> str:
    try:
        return grpc_target(address)
    except ConfigError as error:
        raise RefusalError("custodian-unreachable", str(error)) from error


def _refusal(status: grpc.StatusCode, address: str) -> RefusalError:
    """Say what a failed call means here; the text that came with the status is dropped."""
    code = _CODE_OF_STATUS.get(status, "custodian-failed")
    remedy = "start it with 'fedcredit custodian serve SITE.yaml', or look into its log"
    if status is grpc.StatusCode.UNAUTHENTICATED:
        remedy = "give this side the file that SITE.yaml names as relay_token"
    return RefusalError(code, f"the custodian at {address} gave no answer ({status.name}); {remedy}.")
