"""The coordinator's processes: the guarded SuperLink, Flower's SuperExec for the ServerApp, and the dispatcher."""

import secrets
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from server.coordinator_file import CoordinatorFile
from server.environment import environment, program
from server.loopback_tls import HOST, LoopbackTls
from server.supervisor import Child, Supervisor, alone


def _say(line: str) -> None:
    """Print a line that is seen at once, also in a file or a journal."""
    print(line, flush=True)


def serve(path: Path, file: CoordinatorFile, announce: Callable[[str], None] = _say) -> None:
    """Run the coordinator until the process is told to end.

    Parameters
    ----------
    path
        The COORDINATOR.yaml that `file` was read from.

    Raises
    ------
    ConfigError
        If another one serves this state folder, or Flower is not installed.
    """
    told: list[int] = []

    def tell(number: int, _: FrameType | None) -> None:
        told.append(number)

    with alone(file.state):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, tell)
        flower_home = file.state / "superlink-home"
        flower_home.mkdir(mode=0o700, exist_ok=True)
        children = coordinator_processes(path.resolve(), file)
        announce(f"institutions connect to {file.fleet.host}:{file.fleet.port}; logs are in {file.state / 'logs'}")
        Supervisor(children, file.state, environment(flower_home), file.pacing, announce).run(lambda: bool(told))
    announce("the coordinator has ended")


def coordinator_processes(path: Path, file: CoordinatorFile) -> tuple[Child, ...]:
    """Command lines of the three processes; makes the secrets that they share."""
    tls, secret = LoopbackTls(file.state / "loopback"), _secret(file.state / "superexec.secret")
    inside = f"{HOST}:{file.api_port}"
    fleet = (file.fleet.host, str(file.fleet.port), str(file.certificate), str(file.certificate_key))
    superlink = (
        *("--host", HOST, "--port", str(file.api_port), "--database", str(file.state / "superlink.sqlite")),
        *("--ssl-certfile", str(tls.certificate), "--ssl-keyfile", str(tls.key)),
        *("--ssl-ca-certfile", str(tls.authority), "--enable-supernode-auth", "--isolation", "process"),
        *("--superexec-auth-secret-file", str(secret), "--disable-runtime-dependency-installation"),
    )
    superexec = (
        *("--runtime-api-address", inside, "--root-certificates", str(tls.authority)),
        *("--superexec-auth-secret-file", str(secret)),
    )
    return (
        Child("superlink", (sys.executable, "-m", "server.superlink", *fleet, *superlink)),
        # Started before, it would wait longer and longer.
        Child("superexec", (program("flower-superexec"), *superexec), lambda: _listens(file.api_port)),
        Child("dispatcher", (sys.executable, "-m", "server.dispatcher", str(path))),
    )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _secret(path: Path) -> Path:
    """With it SuperExec proves itself to the SuperLink; made at the first start."""
    if not path.exists() or not path.read_bytes():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path
