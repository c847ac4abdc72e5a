"""A custodian's gRPC face without a custodian behind it: what the relay may rely on."""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from fedcredit.custodian.address import grpc_target

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def listening(handler: Handler, address: str | Path) -> Iterator[None]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=options)
        methods = {"Handle": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fedcredit.v1.Custodian", methods),))
        server.add_insecure_port(grpc_target(address).removeprefix("ipv4:"))
        server.start()
        yield
        server.stop(None).wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield Path(name)


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[Handler], str]]:
    """Serve a handler for the length of a test, on a socket of that name or on 127.0.0.1:PORT; its address."""
    with ExitStack() as stack:

        def start(handler: Handler, name: str = "custodian.sock") -> str:
            address = name if ":" in name else os.fspath(folder / name)
            stack.enter_context(listening(handler, address))
            return address

        yield start
