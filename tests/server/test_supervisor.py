"""Children are started again when they end, stopped with all they started, and found again after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.process_id import ProcessId, process_id, started_with
from server.pacing import Pacing
from server.supervisor import Child, Supervisor, alone, is_served, stop_left

PACING = Pacing(retry_first_s=0.01, retry_longest_s=60.0)
# Writes its number, starts a child that ignores the request to stop, and waits.
PARENT = (
    "import os, pathlib, signal, subprocess, sys\n"
    "code = 'import os, signal; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()'\n"
    "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
    "number = child.stdout.readline().decode().strip()\n"
    "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {number}')\n"
    "signal.pause()\n"
)
SUPERVISOR = (
    "import pathlib, sys\n"
    "from server.pacing import Pacing\n"
    "from server.supervisor import Child, Supervisor\n"
    "state = pathlib.Path(sys.argv[1])\n"
    "child = Child('parent', (sys.executable, '-c', sys.argv[2], str(state / 'sign')))\n"
    "Supervisor([child], state, {}, Pacing(), lambda line: None).run(lambda: False)\n"
)
ROOT = Path(__file__).resolve().parents[2]


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read(sign: Path) -> list[ProcessId]:
    until(lambda: sign.exists() and len(sign.read_text().split()) == 2)
    found = [process_id(int(number)) for number in sign.read_text().split()]
    return [one for one in found if one is not None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.supervisor._LOOK_S", 0.02)
    monkeypatch.setattr("server.supervisor._STOP_TIMEOUT_S", 0.5)


def test_an_ended_child_is_started_again_until_told_to_stop(tmp_path: Path) -> None:
    count = tmp_path / "count"
    code = f"open({str(count)!r}, 'a').write('x')"
    said: list[str] = []
    children = [Child("short", (sys.executable, "-c", code))]
    Supervisor(children, tmp_path, {}, PACING, said.append).run(lambda: count.exists() and len(count.read_text()) >= 3)
    pauses = [line.split("again in ")[1].split(" s")[0] for line in said if "ended with 0" in line]
    assert pauses[:2] == ["0.01", "0.02"]


def test_a_child_waits_for_what_it_needs(tmp_path: Path) -> None:
    sign, turns = tmp_path / "sign", []
    child = Child("late", (sys.executable, "-c", f"open({str(sign)!r}, 'w')"), lambda: len(turns) > 3)

    def stopping() -> bool:
        turns.append(sign.exists())
        return sign.exists()

    Supervisor([child], tmp_path, {}, PACING, lambda _: None).run(stopping)
    assert not any(turns[:3])


def test_a_killed_supervisors_children_are_stopped_with_theirs(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), PARENT]
    with subprocess.Popen(command, cwd=ROOT) as process:
        family = read(sign)
        process.send_signal(signal.SIGKILL)
    assert len(family) == 2
    # The leader has died, too; what it started is still found by its session.
    family[0].kill()
    until(lambda: not family[0].alive())
    assert family[1].alive()
    stop_left(tmp_path)
    assert not family[1].alive()


@pytest.mark.parametrize("place", ["elsewhere", ""])
def test_children_of_another_coordinator_and_strangers_are_left_alone(tmp_path: Path, place: str) -> None:
    environment = {"FEDCREDIT_COORDINATOR": str(tmp_path / place)} if place else {}
    code = "print('here', flush=True); import signal; signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline()
        one = process_id(stranger.pid)
        assert one is not None
        stop_left(tmp_path)
        assert one.alive()
        assert (one in started_with(f"FEDCREDIT_COORDINATOR={tmp_path / place}")) is bool(place)
        stranger.kill()


def test_a_missing_program_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/no/such is missing; run: pip install"):
        Supervisor([Child("none", ("/no/such",))], tmp_path, {}, PACING, lambda _: None).run(lambda: False)


def test_one_supervisor_serves_a_folder(tmp_path: Path) -> None:
    assert not is_served(tmp_path)
    with alone(tmp_path):
        assert is_served(tmp_path)
        with pytest.raises(ConfigError, match="already runs"), alone(tmp_path):
            pass
    assert not is_served(tmp_path)


def test_a_long_log_is_put_aside_while_its_child_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.growing_log.LARGEST_LOG", 10)
    code = "print('x' * 11, flush=True); import signal; signal.pause()"
    child = Child("short", (sys.executable, "-c", code))
    aside, said = tmp_path / "logs/short.log.1", []
    Supervisor([child], tmp_path, dict(os.environ), PACING, said.append).run(aside.exists)
    assert aside.read_text() == "x" * 11 + "\n"
    assert len(said) == 1
