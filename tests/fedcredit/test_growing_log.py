"""A long log is put aside under the feet of those who write it, and no line is lost or cut."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedcredit import growing_log
from fedcredit.growing_log import older, put_aside_if_long
from fedcredit.process_id import process_id, session_members

# Two processes of one session, one of which was started by the other, write numbered lines as fast as they can.
WRITERS = (
    "import os, sys\n"
    "name = b'parent' if os.fork() else b'child'\n"
    "number = 0\n"
    "while True:\n"
    "    os.write(1, b'%s %d\\n' % (name, number))\n"
    "    number += 1\n"
)


@contextmanager
def writers(log: Path) -> Iterator[int]:
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-Sc", WRITERS], stdout=output, start_new_session=True)
    try:
        yield process.pid
    finally:
        for one in session_members(process.pid):
            one.kill()
        process.wait()


def soon_long(log: Path) -> None:
    deadline = time.monotonic() + 20
    while log.stat().st_size <= growing_log.LARGEST_LOG:
        assert time.monotonic() < deadline, "nobody writes"
        time.sleep(0.001)


def test_nothing_is_lost_while_two_processes_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_log, "LARGEST_LOG", 100_000)
    log, seen = tmp_path / "x.log", b""
    with writers(log) as session:
        for _ in range(5):
            soon_long(log)
            put_aside_if_long(log, session)
            seen += older(log).read_bytes()
            older(log).unlink()
        soon_long(log)
    seen += log.read_bytes()
    for name in ("parent", "child"):
        numbers = [int(line.split()[1]) for line in seen.decode().splitlines() if line.startswith(name)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 1000


def test_a_writer_that_was_held_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_log, "LARGEST_LOG", 100_000)
    log = tmp_path / "x.log"
    with writers(log) as session:
        soon_long(log)
        (tmp_path / "x.log.1").mkdir()  # So that putting aside fails.
        put_aside_if_long(log, session)
        one = process_id(session)
        assert one is not None
        assert not one.stopped()
        assert not (tmp_path / "x.log.partial").exists()
        assert log.stat().st_size > growing_log.LARGEST_LOG


def test_a_log_that_nobody_writes_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_log, "LARGEST_LOG", 3)
    log = tmp_path / "x.log"
    put_aside_if_long(log, None)
    log.write_text("old")
    put_aside_if_long(log, None)
    assert not older(log).exists()
    log.write_text("older")
    put_aside_if_long(log, None)
    assert (log.read_text(), older(log).read_text()) == ("", "older")
