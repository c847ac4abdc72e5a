"""A coordinator's SuperLink, a proxy and one institution's node, all real processes on loopback.

The node names an address on which nobody may knock, and a proxy; the proxy alone knows where the SuperLink is.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from flwr.cli.build import build_fab_from_disk

from simulations.processes import installed
from tests.certificates import authority
from tests.clients.nodes import free_port
from tests.clients.runtime_server import wait_until

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
}
COMMAND_TIMEOUT_S = 60.0

SERVER = """
import json, time
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.1)
    told = []
    for kind in context.run_config["kinds"].split():
        content = RecordDict({"fedcredit": ConfigRecord({"envelope": b"question"})})
        sent = grid.push_messages([Message(content, nodes[0], kind, ttl=120)])
        while not (replies := list(grid.pull_messages(sent))):
            time.sleep(0.1)
        (reply,) = replies
        if reply.has_error():
            told.append([reply.error.code, reply.error.reason])
        else:
            told.append(reply.content["fedcredit"]["envelope"].decode())
    Path(context.run_config["told"]).write_text(json.dumps(told))
"""
PROJECT = """
[project]
name = "{name}"
version = "1.0.0"
license = {{ text = "none" }}
dependencies = []
[tool.flwr.app]
publisher = "coordinator"
[tool.flwr.app.components]
serverapp = "shipped.server:app"
clientapp = "shipped.client:app"
[tool.flwr.app.config]
kinds = "query"
told = ""
"""


def make_app(folder: Path, name: str, client: str) -> Path:
    """Write a coordinator's app with some client code."""
    (folder / name / "shipped").mkdir(parents=True)
    files = {"shipped/__init__.py": "", "shipped/server.py": SERVER, "shipped/client.py": client}
    for path, text in {**files, "pyproject.toml": PROJECT.format(name=name)}.items():
        (folder / name / path).write_text(text)
    return folder / name


def bundle_hash(app: Path) -> str:
    """SHA-256 of the bundle that Flower makes of an app's folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Flower's, in a library of its own
        return sha256(build_fab_from_disk(app)).hexdigest()


class Coordinator:
    """A SuperLink with TLS and node authentication, and the ``flwr`` command beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "flower"
        self.home.mkdir(parents=True)
        self.port = free_port()
        consortium = authority()
        self.ca = consortium.write(folder / "ca.pem")
        self._certificate, self._key = consortium.issue(folder / "tls")
        (self.home / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
            f'root-certificates = "{self.ca}"\n'
        )
        scripts = str(Path(sys.executable).parent)
        self._environment = QUIET | {"FLWR_HOME": str(self.home), "PATH": scripts + os.pathsep + os.defpath}

    def __enter__(self) -> Self:
        command = [
            *(installed("flower-superlink"), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--ssl-certfile", str(self._certificate), "--ssl-keyfile", str(self._key)),
            *("--ssl-ca-certfile", str(self.ca), "--enable-supernode-auth"),
        ]
        self._log = (self._folder / "superlink.log").open("wb")
        self.superlink = subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=self._log)
        wait_until(self._listens, 60.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.superlink.terminate()
        try:
            self.superlink.wait(20)
        except subprocess.TimeoutExpired:
            self.superlink.kill()
            self.superlink.wait()
        self._log.close()

    def flwr(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run Flower's command line; what it printed."""
        done = subprocess.run(
            [installed("flwr"), *arguments],
            cwd=cwd or self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert not done.returncode, done.stdout
        return done.stdout

    def ask(self, app: Path, kinds: str = "query") -> list[Any]:
        """Run an app; what its coordinator's part was told for each kind of message."""
        told = self._folder / f"{app.name}-{free_port()}.json"
        config = f'told="{told}" kinds="{kinds}"'
        log = self.flwr("run", ".", "here", "--stream", "--run-config", config, cwd=app)
        assert told.exists(), log
        answers: list[Any] = json.loads(told.read_text())
        return answers

    def database(self) -> bytes:
        """Everything that the coordinator's side has written to its log."""
        return (self._folder / "superlink.log").read_bytes()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False


class Listener(threading.Thread):
    """Accepts connections on loopback until closed, each in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.n_connections = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join()

    def run(self) -> None:
        """Accept until closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.n_connections += 1
                threading.Thread(target=self.met, args=(connection,), daemon=True).start()

    def met(self, connection: socket.socket) -> None:
        """Close it: nobody is expected here."""
        connection.close()


class Proxy(Listener):
    """An HTTP proxy that tunnels CONNECT to the addresses that it is told of, and refuses every other."""

    def __init__(self, routes: Mapping[str, int]) -> None:
        super().__init__()
        self._routes = routes
        self.wanted: set[str] = set()

    def met(self, connection: socket.socket) -> None:
        """Tunnel one connection."""
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (part := connection.recv(4096)):
                    return
                head += part
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.wanted.add(f"{method} {target}")
            if method != "CONNECT" or target not in self._routes:
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self._routes[target])) as onward:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
                back.start()
                pump(connection, onward)
                back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until either side ends."""
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
