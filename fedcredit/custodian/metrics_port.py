"""Where metrics are fetched: a port on loopback, open to every account of the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server

from fedcredit.custodian.address import LOOPBACK
from fedcredit.errors import ConfigError


class Counted(Protocol):
    """What has metrics.

    Attributes
    ----------
    registry
        Where they are.
    """

    registry: CollectorRegistry


@contextmanager
def served(metrics: Counted, port: int) -> Iterator[None]:
    """Serve ``/metrics`` on 127.0.0.1.

    Raises
    ------
    ConfigError
        If the port is taken.
    """
    try:
        server, thread = start_http_server(port, addr=LOOPBACK, registry=metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {LOOPBACK} cannot be opened ({error.strerror}); stop what listens there ('ss -ltnp' names "
            "it), or choose another metrics_port."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
