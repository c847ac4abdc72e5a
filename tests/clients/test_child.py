"""A kept child: started again with growing pauses, stopped for good, and explained to the operator."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from clients.child import Child, Keeper, reason_in
from fedcredit.node_file import Timeouts

FAST = Timeouts(restart_first_s=0.01, restart_longest_s=0.04)


def child(folder: Path, code: str) -> Child:
    return Child("child", (sys.executable, "-Sc", code), {"PATH": os.defpath}, folder, folder / "child.log")


def lines_of(caplog: pytest.LogCaptureFixture, sign: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if sign in record.getMessage()]


def keep_until(keeper: Keeper, caplog: pytest.LogCaptureFixture, sign: str, n: int) -> list[str]:
    """Keep a child until the console has so many lines with a sign, then stop it; the lines."""

    async def run() -> None:
        async with asyncio.timeout(20):
            task = asyncio.create_task(keeper.keep())
            while len(lines_of(caplog, sign)) < n:
                await asyncio.sleep(0.01)
            task.cancel()
            await keeper.stop(5.0)

    with caplog.at_level(logging.INFO, "clients.child"):
        asyncio.run(run())
    return lines_of(caplog, sign)


def test_pauses_double_up_to_the_longest(tmp_path, caplog):
    brief = Child("child", ("/bin/sh", "-c", "exit 3"), {}, tmp_path, tmp_path / "child.log")
    keeper = Keeper(brief, Timeouts(restart_first_s=0.1, restart_longest_s=0.4))
    told = keep_until(keeper, caplog, "ended", 4)
    assert [line.rpartition("next start in ")[2] for line in told[:4]] == ["0.1 s", "0.2 s", "0.4 s", "0.4 s"]
    assert "exit code 3" in told[0]


def test_a_child_that_ran_for_long_is_started_again_soon(tmp_path, caplog):
    told = keep_until(Keeper(child(tmp_path, "import time; time.sleep(.1)"), FAST), caplog, "ended", 3)
    assert {line.rpartition("next start in ")[2] for line in told} == {"0.01 s"}


def test_a_stopped_child_is_gone_even_if_it_does_not_listen(tmp_path, caplog):
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    keeper = Keeper(child(tmp_path, stubborn), FAST)

    async def run() -> None:
        task = asyncio.create_task(keeper.keep())
        async with asyncio.timeout(20):
            while not (tmp_path / "child.log").exists() or "deaf" not in (tmp_path / "child.log").read_text():
                await asyncio.sleep(0.01)
        task.cancel()
        await keeper.stop(0.05)

    with caplog.at_level(logging.INFO, "clients.child"):
        asyncio.run(run())
    (number,) = (int(line.split()[-1]) for line in lines_of(caplog, "started as process"))
    assert not Path(f"/proc/{number}").exists()
    assert lines_of(caplog, "is killed")


def test_a_program_that_is_missing_is_tried_again(tmp_path, caplog):
    missing = Child("child", (str(tmp_path / "nothing"),), {}, tmp_path, tmp_path / "child.log")
    told = keep_until(Keeper(missing, FAST), caplog, "ended", 2)
    assert "No such file" in told[0]


def test_only_what_the_last_run_said_is_explained(tmp_path, caplog):
    (tmp_path / "child.log").write_text("Exit Code: 606\n")
    code = "print('Exit Code: 305'); raise SystemExit(1)"
    told = keep_until(Keeper(child(tmp_path, code), FAST), caplog, "ended", 1)
    assert "counts a killed node as online" in told[0]


def test_a_long_log_is_put_aside_while_the_child_runs_and_its_end_is_still_explained(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("clients.child._LOOK_AT_LOG_S", 0.02)
    monkeypatch.setattr("fedcredit.growing_log.LARGEST_LOG", 500)
    (tmp_path / "child.log").write_text("x" * 400)
    code = (
        "import os, sys, time; print('y' * 200, flush=True)\n"
        f"while not os.path.exists({str(tmp_path / 'child.log.1')!r}): time.sleep(.001)\n"
        "sys.exit('Exit Code: 606')"
    )
    told = keep_until(Keeper(child(tmp_path, code), FAST), caplog, "ended", 1)
    assert "of different Flower versions" in told[0]
    assert (tmp_path / "child.log.1").read_text().startswith("x" * 400 + "y" * 200)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[Errno 98] error while attempting to bind: address already in use\nExit Code: 1", "runtime_port"),
        ("ERROR: SSL/TLS handshake error detected.\nExit Code: 305", "root_certificates"),
        ("starting\nerror: node file NODE.yaml: bundles: is missing; add it\n", "bundles: is missing"),
    ],
)
def test_an_operator_reads_the_remedy(said, reason):
    assert reason in str(reason_in(said))


def test_what_is_not_known_is_not_guessed():
    assert reason_in("Traceback (most recent call last): …") is None


def test_what_a_log_quotes_cannot_steer_the_terminal():
    assert reason_in("error: \x1b[2Jrefused\x07\n") == "error: [2Jrefused"
