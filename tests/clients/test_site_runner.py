"""The site runner, a real process, against Flower's own Runtime API: what is relayed, refused, and never touched."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from flwr.app import ConfigRecord, RecordDict

from clients.app import FAULTS
from clients.flower_runtime import SuperNodeRuntime
from clients.node import site_runner
from fedcredit.errors import JobError
from fedcredit.node_file import load_node_file
from tests.clients.conftest import listening
from tests.clients.nodes import free_port
from tests.clients.runtime_server import BUNDLE, BUNDLE_HASH, RUN, SECRET, RuntimeServer, envelope, wait_until

MOST_RESIDENT_MIB = 120
FOREIGN = b"PK a bundle that nobody here has read"


class Runner:
    """A site runner's process, with its NODE.yaml."""

    def __init__(self, folder: Path, port: int, custodian: str) -> None:
        self.folder, self.file, self.log = folder, folder / "NODE.yaml", folder / "runner.log"
        self._port, self._custodian = port, custodian
        (folder / "state").mkdir(exist_ok=True)
        (folder / "state" / "runtime.secret").write_bytes(SECRET)
        self.write([BUNDLE_HASH])

    def write(self, bundles: list[str]) -> None:
        self.file.write_text(
            f"superlink: localhost:1\nroot_certificates: ca.pem\nnode_key: node\nruntime_port: {self._port}\n"
            f"custodian: {self._custodian}\nbundles: {bundles}\nstate: state\n"
            "timeouts: {poll_s: 0.02, custodian_connect_s: 5}\n"
        )

    @contextmanager
    def running(self) -> Iterator["Runner"]:
        child = site_runner(self.file, load_node_file(self.file))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(child.command, cwd=child.cwd, env=child.environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: "waiting for tasks" in self.log.read_text(), 30.0)
            yield self
        finally:
            self.process.terminate()
            self.code = self.process.wait(10)

    def said(self, text: str) -> None:
        """Wait for a line of its log."""
        wait_until(lambda: text in self.log.read_text())

    def resident_mib(self) -> float:
        """Memory that it has in RAM now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        return kib / 1024


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("n")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def runner(home: Path, port: int) -> Iterator[Runner]:
    with Runner(home, port, "custodian.sock").running() as started:
        yield started


@pytest.fixture(scope="module")
def runtime(port: int) -> Iterator[RuntimeServer]:
    with RuntimeServer(port) as server:
        yield server


@pytest.fixture
def asked(home: Path) -> Iterator[list[bytes]]:
    """What reaches the custodian."""
    seen: list[bytes] = []

    def handler(request: bytes, _: grpc.ServicerContext) -> bytes:
        seen.append(request)
        return request + b" answered"

    with listening(handler, home / "custodian.sock"):
        yield seen


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_reviewed_bundle_s_bytes_are_relayed(runtime, runner, asked):
    put = runtime.put()
    reply = runtime.reply(put)
    assert not reply.has_error()
    assert b"question answered" in runtime.answer_in(reply)
    assert asked == [b"question"]
    wait_until(lambda: runtime.status(put) == "finished")


def test_a_foreign_bundle_is_a_number_and_leaves_nothing(runtime, runner, asked, home):
    before = files(home)
    put = runtime.put(envelope(b"foreign"), bundle=FOREIGN)
    reply = runtime.reply(put)
    assert (reply.error.code, reply.error.reason) == (FAULTS["bundle-unknown"], None)
    assert b"foreign" not in asked  # an earlier test's question may still arrive
    assert files(home) == before
    # Its message is dropped unread, also at the SuperNode.
    wait_until(lambda: not runtime.state.object_store.get(put.message_id))


def test_a_message_that_is_still_arriving_is_not_answered_too_soon(runtime, runner):
    """The SuperNode makes the task first; answered while it fetches the content, it loses its way."""
    arrives = threading.Event()
    threading.Timer(0.5, arrives.set).start()
    put = runtime.put(bundle=FOREIGN, arrives_with=arrives)
    assert runtime.reply(put).error.code == FAULTS["bundle-unknown"]


@pytest.mark.parametrize("bundle", [BUNDLE, FOREIGN], ids=["reviewed", "foreign"])
def test_a_message_whose_run_ended_while_it_arrived_does_not_hold_up_the_next(runtime, runner, asked, bundle):
    """Its task is there and its content never comes; a reply to it would be taken for the next one's."""
    lost = runtime.put(bundle=bundle, run_id=RUN + 1, arrives=False)
    wait_until(lambda: runtime.status(lost) == "running")
    put = runtime.put()
    assert not runtime.reply(put).has_error()
    assert runtime.status(lost) == "finished"
    assert list(runtime.state.get_messages_legacy(is_reply=True)) == []


@pytest.mark.parametrize("kind", ["query.other", "train", "evaluate", "train.round"])
def test_another_type_of_message_is_refused_unread(runtime, runner, asked, kind):
    reply = runtime.reply(runtime.put(envelope(b"other type"), kind=kind))
    assert (reply.error.code, reply.error.reason) == (FAULTS["message-unknown"], None)
    assert b"other type" not in asked  # an earlier test's question may still arrive


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"other": ConfigRecord({"envelope": b"x"})}),
        RecordDict({f"{number}": ConfigRecord({"envelope": b"x"}) for number in range(80)}),
    ],
)
def test_a_message_of_another_shape_is_refused(runtime, runner, asked, content):
    reply = runtime.reply(runtime.put(content))
    assert (reply.error.code, reply.error.reason) == (FAULTS["request-malformed"], None)
    assert set(asked) <= {b"question"}  # of an earlier test


def test_tasks_of_other_types_are_never_acquired(runtime, runner, asked):
    types = ("flwr-agentapp", "flwr-serverapp", "flwr-simulation", "flwr-model", "flwr-connector")
    others = [runtime.put(task_type=one, run_id=RUN + 1 + number) for number, one in enumerate(types)]
    # Ours is younger, and done.
    mine = runtime.put()
    runtime.reply(mine)
    wait_until(lambda: runtime.status(mine) == "finished")
    assert [runtime.status(other) for other in others] == ["pending"] * len(types)


def test_a_custodian_that_is_away_comes_back(runtime, runner, home):
    put = runtime.put()
    wait_until(lambda: runtime.status(put) == "running")
    with listening(lambda *_: b"back", home / "custodian.sock"):
        assert b"back" in runtime.answer_in(runtime.reply(put))


def test_a_custodian_s_failure_is_a_number(runtime, runner, home):
    def fail(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "customer 4711")

    with listening(fail, home / "custodian.sock"):
        reply = runtime.reply(runtime.put())
    assert (reply.error.code, reply.error.reason) == (FAULTS["custodian-failed"], None)


def test_bundles_are_read_again_at_sighup_only(runtime, runner, asked):
    runner.write([])
    assert not runtime.reply(runtime.put()).has_error()
    runner.process.send_signal(signal.SIGHUP)
    runner.said("read again; 0 bundles")
    assert runtime.reply(runtime.put()).error.code == FAULTS["bundle-unknown"]
    runner.file.write_text("bundles: [not a hash]")
    runner.process.send_signal(signal.SIGHUP)
    runner.said("not taken over")
    assert runtime.reply(runtime.put()).error.code == FAULTS["bundle-unknown"]
    runner.write([BUNDLE_HASH])
    runner.process.send_signal(signal.SIGHUP)
    runner.said("read again; 1 bundles")
    assert not runtime.reply(runtime.put()).has_error()


def test_whoever_lacks_the_secret_gets_no_task(runtime, port):
    runtime.put(run_id=RUN + 40)
    for secret in (None, b"guessed"):
        with (
            SuperNodeRuntime(port, secret) as stranger,
            pytest.raises(JobError, match=r"no task \(HTTP 401\)"),
        ):
            stranger.acquire()


def test_a_restarted_supernode_is_found_again_even_in_the_middle_of_a_task(home):
    """The task that it forgot is dropped; the process stays, and works on the next."""
    port, reached, hold = free_port(), threading.Event(), threading.Event()
    folder = home / "second"
    folder.mkdir()

    def slow(request: bytes, _: grpc.ServicerContext) -> bytes:
        reached.set()
        assert hold.wait(20)
        return request

    with Runner(folder, port, "custodian.sock").running() as runner, listening(slow, folder / "custodian.sock"):
        with RuntimeServer(port) as first:
            first.put()
            assert reached.wait(20)
        with RuntimeServer(port) as second:
            hold.set()
            runner.said("dropped the task (HTTP 401)")
            assert not second.reply(second.put()).has_error()
        runner.said("cannot be reached")
        assert runner.process.poll() is None
    assert runner.code == 0


def test_an_idle_runner_is_small(runtime, runner, asked):
    """A large message does not stay in memory."""
    fresh = runner.resident_mib()
    put = runtime.put(envelope(bytes(1_000_000)))
    runtime.reply(put)
    wait_until(lambda: runtime.status(put) == "finished")
    wait_until(lambda: runner.resident_mib() <= MOST_RESIDENT_MIB)
    print(f"resident: {fresh:.1f} MiB, after a message of 1 MB {runner.resident_mib():.1f} MiB")
    assert fresh <= MOST_RESIDENT_MIB
