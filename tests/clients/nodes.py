"""A node's folder with everything that NODE.yaml names, and its supervisor as a process."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from clients.node import children_of, stop_all
from fedcredit.process_id import ProcessId
from tests.clients.runtime_server import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_node(folder: Path, bundles: list[str], **fields: object) -> Path:
    """Write a node's folder; its NODE.yaml."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / "node").touch(mode=0o600)
    (folder / "node").write_bytes(private)
    (folder / "node.pub").write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    told = {
        "superlink": "127.0.0.1:1",
        "root_certificates": "ca.pem",
        "node_key": "node",
        "runtime_port": free_port(),
        "custodian": "custodian.sock",
        "bundles": bundles,
        "state": "state",
        "timeouts": "{restart_first_s: 0.2, restart_longest_s: 5}",
    } | fields
    (folder / "NODE.yaml").write_text("".join(f"{name}: {value}\n" for name, value in told.items()))
    return folder / "NODE.yaml"


class Supervisor:
    """``python -m clients serve`` on a NODE.yaml."""

    def __init__(self, file: Path, environment: Mapping[str, str]) -> None:
        self.file = file
        self._log = file.parent / "console.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clients", "serve", str(file)],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )

    def console(self) -> str:
        return self._log.read_text()

    def state(self, name: str) -> str:
        """A file in the node's state folder."""
        path = self.file.parent / "state" / name
        return path.read_text(errors="replace") if path.exists() else ""

    def says(self, text: str, n: int = 1, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the console has a text so often."""
        wait_until(lambda: self.console().count(text) >= n, timeout_s)

    def child(self, name: str) -> ProcessId:
        """The child that runs now, by a word of its command line."""
        (found,) = (one for one in children_of(self.file) if name in command_line(one))
        return found


@contextmanager
def supervised(file: Path, **environment: str) -> Iterator[Supervisor]:
    """Serve a node; whatever was started for it is stopped in the end."""
    supervisor = Supervisor(file, environment)
    try:
        yield supervisor
    finally:
        supervisor.process.terminate()
        supervisor.process.wait(30)
        stop_all(children_of(file))


def command_line(process: ProcessId) -> str:
    """Command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
