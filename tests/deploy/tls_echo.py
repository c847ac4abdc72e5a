"""A TLS echo, server and its client, as programs: ``serve CERTIFICATE KEY PORT`` and ``ask CA HOST PORT``.

``listen PORT`` accepts any TCP connection, and ``connect HOST PORT`` says by its exit code whether one is accepted.
``statuses CA HOST PORT METHOD PATH…`` prints the HTTP status of each path.
"""

import http.client
import socket
import ssl
import sys
from collections.abc import Callable

WORD = b"fedcredit"


def serve(certificate: str, key: str, port: str) -> None:
    """Answer each connection with what it sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("0.0.0.0", int(port))) as listening:
        print("ready", flush=True)
        while True:
            connection, _ = listening.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as stream:
                    stream.sendall(stream.recv(len(WORD)))
            except OSError:
                connection.close()  # whoever only looked whether the port is open


def listen(port: str) -> None:
    """Accept and drop each connection."""
    with socket.create_server(("0.0.0.0", int(port))) as listening:
        print("ready", flush=True)
        while True:
            listening.accept()[0].close()


def ask(ca: str, host: str, port: str) -> None:
    """Send a word and want it back."""
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as stream,
    ):
        stream.sendall(WORD)
        sys.exit(0 if stream.recv(len(WORD)) == WORD else 1)


def connect(host: str, port: str) -> None:
    """Exit with 0 if a connection is accepted, with 3 if it is refused or dropped."""
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        sys.exit(3)


def statuses(ca: str, host: str, port: str, method: str, *paths: str) -> None:
    """Print what an HTTPS server answers to a request without a body."""
    context = ssl.create_default_context(cafile=ca)
    for path in paths:
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
        connection.request(method, path)
        print(connection.getresponse().status)
        connection.close()


PROGRAMS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "listen": listen,
    "ask": ask,
    "connect": connect,
    "statuses": statuses,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
