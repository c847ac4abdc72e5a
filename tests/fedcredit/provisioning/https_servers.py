"""Real servers for checks of a connection: HTTPS with a certificate and a clock of one's choice, and a proxy."""

import http.server
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from fedcredit.provisioning.certificates import ServerCertificate


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """The port of a server that runs meanwhile."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def https(
    folder: Path, tls: ServerCertificate | None, *, status: int = 200, clock: datetime | None = None
) -> Iterator[int]:
    """A SuperLink's port as a check sees it; `clock` is the time that it claims to have, None for `tls` is HTTP."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002  (the library's name)
            return format_datetime((clock or datetime.now(UTC)).replace(microsecond=0), usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    if tls is not None:
        server.socket = _context(folder, tls).wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port


@contextmanager
def proxy(seen: list[bytes], to: int | None = None, *, refuses: bool = False) -> Iterator[int]:
    """An HTTP proxy that knows CONNECT.

    Parameters
    ----------
    seen
        Takes the head of each request.
    to
        Port of another server that takes the place of the one asked for, as a proxy that inspects TLS does.
    """

    class Connect(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                data = self.request.recv(4096)
                if not data:
                    return
                head += data
            seen.append(head)
            if refuses:
                self.request.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            port = to or int(head.split()[1].rpartition(b":")[2])
            with socket.create_connection(("127.0.0.1", port)) as out:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                pump(self.request, out)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connect)
    with serving(server) as port:
        yield port


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    ways = {one: other, other: one}
    while True:
        for ready in select.select(list(ways), [], [])[0]:
            try:
                data = ready.recv(65536)
                ways[ready].sendall(data)
            except OSError:
                return
            if not data:
                return


def _context(folder: Path, tls: ServerCertificate) -> ssl.SSLContext:
    (folder / "server.pem").write_bytes(tls.certificate)
    (folder / "server.key").write_bytes(tls.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context
