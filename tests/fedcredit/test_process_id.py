"""Processes told apart, with the processes that they started."""

import os
import signal
import subprocess
import sys

import pytest

from fedcredit.process_id import ProcessId, descendants, process_id, session_members, started_with

WAIT = "import signal; print(1, flush=True); signal.pause()"


def test_a_process_is_known_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", WAIT], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        one = process_id(child.pid)
        assert one is not None
        assert (one.parent, one.session) == (os.getpid(), child.pid)
        assert one in descendants({os.getpid()})
        assert session_members(child.pid) == [one]
        earlier = ProcessId(one.pid, one.parent, one.session, one.started - 1)
        assert not earlier.alive()
        earlier.kill()
        assert one.alive()
        one.send(signal.SIGKILL)
        child.wait()
        assert not one.alive()
        assert process_id(child.pid) is None
        one.kill()


def test_a_process_that_was_not_waited_for_is_over() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_id(child.pid) is None
    child.communicate()


def test_a_process_is_found_by_a_variable_of_its_own_or_its_parents() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    environment = {"FEDCREDIT_TEST_MARK": "x y"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        found = started_with("FEDCREDIT_TEST_MARK=x y")
        assert {one.pid for one in found} == {parent.pid, *(one.pid for one in descendants({parent.pid}))}
        assert len(found) == 2
        assert not started_with("FEDCREDIT_TEST_MARK=x")
        parent.communicate(b"\n")


def test_a_process_that_another_account_owns_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    one = process_id(os.getpid())
    assert one is not None
    monkeypatch.setattr("os.kill", refused)
    one.kill()
