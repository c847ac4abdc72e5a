"""The supervisor over real children: restarts, order, orphans, environment. No SuperLink is in reach."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.node import check, children_of, serve
from fedcredit.errors import ConfigError
from fedcredit.node_file import load_node_file
from tests.clients.nodes import ROOT, START_TIMEOUT_S, Supervisor, make_node, supervised
from tests.clients.runtime_server import wait_until

ALLOWED_VARIABLES = {
    *("FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK", "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"),
    *("FLWR_HOME", "HOME", "LANG", "PATH", "PYTHONUNBUFFERED", "FEDCREDIT_NODE"),
    *("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"),
}
PROXY_VARIABLES = {"HTTPS_PROXY", "https_proxy"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("no certificate is ever looked at")
    return make_node(tmp_path, [], proxy="http://127.0.0.1:1")


@pytest.fixture
def supervisor(file: Path) -> Iterator[Supervisor]:
    with supervised(file, DATABASE_PASSWORD="hunter2", HTTP_PROXY="http://elsewhere:1") as started:
        started.says("is started as process", 2)
        # As soon as a child has its own program, it has its own environment.
        wait_until(lambda: len(children_of(file)) == 2)
        yield started


def variables(pid: int) -> dict[str, str]:
    assignments = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(one.split("=", 1) for one in assignments if one)


@pytest.mark.e2e
def test_children_inherit_nothing(supervisor, file):
    node, runner = variables(supervisor.child("supernode").pid), variables(supervisor.child("clients run").pid)
    assert set(node) <= ALLOWED_VARIABLES | PROXY_VARIABLES
    assert set(runner) <= ALLOWED_VARIABLES
    assert node["HTTPS_PROXY"] == node["https_proxy"] == "http://127.0.0.1:1"


@pytest.mark.e2e
def test_a_killed_runner_is_started_again(supervisor, file):
    first = supervisor.child("clients run")
    first.kill()
    supervisor.says("runner ended (SIGKILL)")
    supervisor.says("runner is started as process", 2)
    assert not first.alive()


@pytest.mark.e2e
def test_one_supervisor_a_node(supervisor, file):
    second = subprocess.run(
        [sys.executable, "-m", "clients", "serve", str(file)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert "is already served" in second.stderr
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.e2e
def test_sighup_reaches_the_runner(supervisor):
    wait_until(lambda: "waiting for tasks" in supervisor.state("runner.log"), START_TIMEOUT_S)
    supervisor.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "read again; 0 bundles" in supervisor.state("runner.log"), 30)


@pytest.mark.e2e
def test_what_a_killed_supervisor_left_is_stopped_first(supervisor, file):
    left = children_of(file)
    supervisor.process.kill()
    supervisor.process.wait()
    assert len(left) == 2
    assert all(one.alive() for one in left)
    with supervised(file) as next_one:
        next_one.says("which an earlier supervisor had left", 2)
        next_one.says("is started as process", 4)
        assert not any(one.alive() for one in left)
        next_one.process.terminate()
        assert next_one.process.wait(30) == 0
        # The runner first: the answer to a task at hand still finds its SuperNode.
        assert next_one.console().index("runner is stopped") < next_one.console().index("supernode is stopped")
    assert children_of(file) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "node").chmod(0o640), "chmod 600"),
        (lambda folder: (folder / "node").unlink(), "institution init"),
        (lambda folder: (folder / "ca.pem").unlink(), "root_certificates"),
        (lambda folder: (folder / "NODE.yaml").chmod(0o666), "chmod go-w"),
    ],
)
def test_what_no_child_could_use_is_refused_at_once(file, spoil, message):
    check(file, load_node_file(file))
    spoil(file.parent)
    with pytest.raises(ConfigError, match=message):
        serve(file)
    assert not (file.parent / "state" / "supernode.log").exists()
