"""A gRPC service and the standard health service, nothing else: no reflection, and loopback where there is no TLS."""

import ipaddress
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedcredit.custodian.address import LOOPBACK
from fedcredit.errors import ConfigError
from fedcredit.provisioning.certificates import certificates_of, check_key

_HIGHEST_PORT = 65535
_WORKERS = 4
LARGEST_MESSAGE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate and key of a service, and whose certificates its callers must show.

    Attributes
    ----------
    clients
        PEM of the authority of callers' certificates; None asks callers for none.
    """

    certificate: Path
    key: Path
    clients: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC listens with.

        Raises
        ------
        ConfigError
            If a file cannot be read or is not what it should be; gRPC would blame the port, or serve and hear nobody.
        """
        key, certificate = read_pem(self.key), read_certificates(self.certificate)
        check_key(certificates_of(certificate, str(self.certificate))[0], key)
        if self.clients is None:
            return grpc.ssl_server_credentials([(key, certificate)])
        return grpc.ssl_server_credentials(
            [(key, certificate)], read_certificates(self.clients), require_client_auth=True
        )


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a service listens.

    Attributes
    ----------
    host
        Address of this machine.
    port
        0 lets the system choose.
    tls
        Needed beyond loopback, with `Tls.clients` where callers do not sign what they ask.
    """

    host: str = LOOPBACK
    port: int = 0
    tls: Tls | None = None

    def check(self, *, signed: bool) -> None:
        """Refuse an address at which strangers could ask, or listen in.

        Parameters
        ----------
        signed
            Whether every request is signed by a known key.

        Raises
        ------
        ConfigError
            If the address is beyond loopback and has no TLS, or asks for no client certificate though it should.
        """
        if is_loopback(self.host):
            return
        if self.tls is None:
            raise ConfigError(
                f"{self.host} is reached from other machines; give --tls-certificate and --tls-key, or use {LOOPBACK}."
            )
        if self.tls.clients is None and not signed:
            raise ConfigError(
                f"{self.host} is reached from other machines, and anybody could ask; give --tls-clients, the authority "
                "of the callers' certificates."
            )


def parse_listen(text: str, tls: Tls | None) -> Listen:
    """Read ``HOST:PORT``.

    Raises
    ------
    ConfigError
        If it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ConfigError(f"{text!r:.80} is no address to listen on; write HOST:PORT, such as {LOOPBACK}:8571.")
    return Listen(host.strip("[]"), int(port), tls)


class Server:
    """A running service; use as a context manager.

    Parameters
    ----------
    methods
        Method handlers by name.
    service
        Full name of the service.
    gates
        Interceptors; the first sees a call first.

    Attributes
    ----------
    port
        Where it listens, once entered.
    """

    def __init__(
        self,
        service: str,
        methods: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"],
        listen: Listen,
        gates: Sequence[grpc.ServerInterceptor] = (),
    ) -> None:
        self._service, self._listen, self.port = service, listen, 0
        options = [
            ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # or a second service would share a taken port
        ]
        pool = futures.ThreadPoolExecutor(max_workers=_WORKERS)
        self._server = grpc.server(pool, options=options, interceptors=[*gates])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(methods)),))
        self.health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        host = f"[{self._listen.host}]" if ":" in self._listen.host else self._listen.host
        where = f"{host}:{self._listen.port}"
        try:
            if self._listen.tls is None:
                self.port = self._server.add_insecure_port(where)
            else:
                self.port = self._server.add_secure_port(where, self._listen.tls.credentials())
        except RuntimeError as error:
            raise ConfigError(f"{where} cannot be listened on; stop what is there, or choose another port.") from error
        self._server.start()
        for name in ("", self._service):
            self.health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, grace_s: float = 5.0) -> None:
        """Report NOT_SERVING, finish the calls in hand and close."""
        self.health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()
        self._stopped.set()

    def is_healthy(self, context: grpc.ServicerContext) -> bytes:
        """Bytes of the answer to a health check."""
        answer: bytes = self.health.Check(health_pb2.HealthCheckRequest(), context).SerializeToString()
        return answer


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_pem(path: Path) -> bytes:
    """Read a PEM file.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a PEM file.") from None


def read_certificates(path: Path) -> bytes:
    """Read a PEM file that holds a certificate or several.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds none.
    """
    pem = read_pem(path)
    certificates_of(pem, str(path))
    return pem
