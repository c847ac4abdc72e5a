"""The coordinator as it is deployed: real SuperLink, SuperExec and dispatcher, TLS, and each of them killed."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fedcredit.process_id import ProcessId, descendants
from fedcredit.roster_file import write_roster_file
from server.coordinator_file import CoordinatorFile, load_coordinator_file
from server.environment import environment, program
from server.job_status import read_status
from server.queue import Queue, State
from tests.coordinators import members, write_coordinator, write_plan
from tests.rosters import signed

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


class Coordinator:
    """A coordinator that serves, and its operator's commands."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent
        self.file: CoordinatorFile = load_coordinator_file(path)
        self.process = self.serve()

    def serve(self) -> subprocess.Popen[bytes]:
        with (self.folder / "serve.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "server", "serve", str(self.path)], cwd=ROOT, stdout=log, stderr=log
            )

    def command(self, name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "server", name, str(self.path), *arguments]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def told(self) -> dict[str, Any]:
        """What the status command says of the only job."""
        (job,) = json.loads(self.command("status", "--json"))["jobs"]
        return dict(job)

    def runs(self) -> int:
        with Queue(self.file.queue) as queue:
            return queue.runs_of("first")

    def state(self) -> State:
        with Queue(self.file.queue) as queue:
            return queue.job("first").state

    def waits(self) -> bool:
        news = read_status(self.file.job_folder("first"))
        return news is not None and bool(news.waiting)

    def child(self, word: str) -> ProcessId | None:
        """The process that this one started whose command line holds a word."""
        for one in descendants({self.process.pid}):
            try:
                if word.encode() in Path(f"/proc/{one.pid}/cmdline").read_bytes():
                    return one
            except OSError:
                continue
        return None

    def kill(self, word: str) -> ProcessId:
        found = until(lambda: self.child(word))
        found.kill()
        until(lambda: not found.alive())
        return found

    def request(
        self, method: str, path: str, *, port: int | None = None, ca: Path | None = None, **headers: str
    ) -> int:
        """Status of a request whose path is sent exactly as written."""
        context = ssl.create_default_context(cafile=ca or self.file.ca)
        host, port = "127.0.0.1", port or self.file.fleet.port
        with (
            socket.create_connection((host, port), timeout=20) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Length: 0"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            secure.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            reply = http.client.HTTPResponse(secure)
            reply.begin()
            return reply.status

    def healthy(self) -> bool:
        try:
            return self.request("GET", "/health") == 200
        except OSError:
            return False


def until(found: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is not empty."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    folder = tmp_path_factory.mktemp("coordinator")
    path = write_coordinator(folder, fleet={"host": "127.0.0.1", "port": free_port()}, api_port=free_port())
    running = Coordinator(path)
    try:
        until(running.healthy)
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)


ALLOWED_PATH = "/v1/fleet/pull-messages"


def test_institutions_reach_the_fleet_paths_and_the_health(coordinator: Coordinator) -> None:
    assert coordinator.request("GET", "/health") == 200
    # It gets to Flower, which wants a signed protobuf.
    assert coordinator.request("POST", ALLOWED_PATH) not in (404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/responses",
        "/docs",
        "/openapi.json",
        "/",
        "//v1/control/start-run",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet/pull%2Dmessages",
        "/V1/FLEET/pull-messages",
        "/v1/fleet/pull-messages/",
        "/v1/fleet//pull-messages",
        "/v1/fleet/",
        "/health/",
        "/health/../docs",
        "http://127.0.0.1/v1/control/start-run",
    ],
)
def test_everything_else_is_not_there(coordinator: Coordinator, path: str) -> None:
    assert [coordinator.request(method, path) for method in ("GET", "POST")] == [404, 404]


def test_a_websocket_is_not_opened(coordinator: Coordinator) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    assert coordinator.request("GET", "/v1/control/start-run", **headers) == 404
    assert coordinator.request("GET", ALLOWED_PATH, **headers) == 404


def test_the_operator_reaches_everything_on_loopback(coordinator: Coordinator) -> None:
    ca = coordinator.file.state / "loopback/ca.pem"
    assert coordinator.request("GET", "/docs", port=coordinator.file.api_port, ca=ca) == 200


def test_secrets_are_the_operators_alone(coordinator: Coordinator) -> None:
    for name in ("superexec.secret", "loopback/server.key", "queue.sqlite"):
        assert (coordinator.file.state / name).stat().st_mode & 0o077 == 0


def test_a_job_waits_for_its_institutions_and_outlives_every_process(coordinator: Coordinator) -> None:
    plan = write_plan(coordinator.folder)
    assert "message exchanges" in coordinator.command("submit", str(plan))

    until(coordinator.waits)
    told = coordinator.told()
    assert (told["state"], told["phase"], told["runs"]) == ("running", "join 0", 1)
    assert "waits for bank-1, bank-2, hospital-1" in told["reason"]

    coordinator.kill("flwr-serverapp")
    until(lambda: coordinator.runs() == 2)

    coordinator.kill("server.dispatcher")
    coordinator.kill("server.superlink")
    children = descendants({coordinator.process.pid})
    coordinator.process.kill()
    coordinator.process.wait()
    coordinator.process = coordinator.serve()
    until(coordinator.healthy)
    assert not [one for one in children if one.alive()]
    until(lambda: coordinator.child("flwr-serverapp"))

    coordinator.command("stop", "first")
    until(lambda: coordinator.state() is State.STOPPED)
    until(lambda: not coordinator.child("flwr-serverapp"))
    runs = flower_runs(coordinator)
    assert len(runs) == coordinator.runs()
    assert all(run["status"].startswith("finished") for run in runs)


def flower_runs(coordinator: Coordinator) -> list[dict[str, Any]]:
    home = coordinator.file.state / "flower"
    listed = subprocess.run(
        [program("flwr"), "ls", "--format", "json"], env=environment(home), capture_output=True, text=True, check=True
    )
    return list(json.loads(listed.stdout)["runs"])


@pytest.fixture
def without_bank_2(coordinator: Coordinator) -> Iterator[None]:
    before = coordinator.file.roster.read_bytes()
    log = coordinator.file.state / "logs/dispatcher.log"
    until(lambda: "the node of bank-2 is admitted" in log.read_text())
    write_roster_file(coordinator.file.roster, signed(members("bank-1", "hospital-1")))
    yield
    coordinator.file.roster.write_bytes(before)


@pytest.mark.usefixtures("without_bank_2")
def test_a_node_whose_key_has_left_the_roster_is_refused(coordinator: Coordinator, tmp_path: Path) -> None:
    log = coordinator.file.state / "logs/dispatcher.log"
    until(lambda: "its key has left the roster" in log.read_text())

    key = tmp_path / "node"
    # bank-2's, as in its roster entry.
    private = derive_private_key(2, SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    key.write_bytes(private)
    key.chmod(0o600)
    address = f"127.0.0.1:{coordinator.file.fleet.port}"
    command = [program("flower-supernode"), "--superlink", address, "--root-certificates", str(coordinator.file.ca)]
    command += ["--auth-supernode-private-key", str(key), "--isolation", "process", "--port", str(free_port())]
    ended = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode != 0
    # Flower's code for a node that the SuperLink does not take.
    assert "305" in ended.stdout + ended.stderr
