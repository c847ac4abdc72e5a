"""Processes are healthy before the next one starts, say why they did not, and are gone afterwards."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError, JobError
from fedcredit.process_id import descendants
from simulations import processes as module
from simulations.processes import Processes, Program, free_port, grpc_healthy, http_healthy

# Touches a file named by its argument, and waits to be stopped.
READY = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
# As above, with a child that ignores the request to stop.
PARENT = (
    "import pathlib, signal, subprocess, sys\n"
    "code = 'import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()'\n"
    "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, start_new_session=True)\n"
    "child.stdout.readline()\n"
    "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
    "signal.pause()"
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path, tmp_path, {"OF_THIS_RUN": "1"})
    yield processes
    processes.stop()


def program(name: str, code: str, sign: Path) -> Program:
    return Program(name, (sys.executable, "-c", code, str(sign)), lambda: sign.exists() and sign.stat().st_size >= 0)


def test_all_are_healthy_when_start_returns(running: Processes, tmp_path: Path) -> None:
    signs = [tmp_path / "first", tmp_path / "second"]
    running.start(*(program(sign.name, READY, sign) for sign in signs))
    assert all(sign.exists() for sign in signs)


def test_stopping_leaves_no_child_behind(running: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that has left the session and ignores a request to stop."""
    monkeypatch.setattr(module, "ORPHAN_TIMEOUT_S", 0.3)
    sign = tmp_path / "pid"
    command = (sys.executable, "-c", PARENT, str(sign))
    running.start(Program("parent", command, lambda: bool(sign.exists() and sign.read_text())))
    (child,) = [one for one in descendants({os.getpid()}) if one.pid == int(sign.read_text())]
    assert child.alive()
    running.stop()
    assert not child.alive()


def test_a_program_that_ends_says_why(running: Processes) -> None:
    broken = Program("broken", (sys.executable, "-c", "raise SystemExit('the port is taken')"), lambda: False)
    with pytest.raises(JobError, match=r"broken did not start \(exit code 1\):\nthe port is taken"):
        running.start(broken)


def test_a_program_that_never_gets_healthy_is_given_up(
    running: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.3)
    silent = Program("silent", (sys.executable, "-c", READY, str(tmp_path / "sign")), lambda: False)
    with pytest.raises(JobError, match=r"silent did not start \(exit code None\)"):
        running.start(silent)


def test_a_program_that_is_not_installed_is_named(running: Processes) -> None:
    with pytest.raises(ConfigError, match=r"/absent/flower-superlink is missing; run: pip install"):
        running.start(Program("superlink", ("/absent/flower-superlink",), lambda: True))


def test_nobody_there_is_not_healthy(tmp_path: Path) -> None:
    assert not http_healthy(f"127.0.0.1:{free_port()}")()
    assert not grpc_healthy(tmp_path / "absent.sock")()
