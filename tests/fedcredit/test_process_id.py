"""Processes told apart, with the processes that they started."""

import os
import signal
import subprocess
import sys

from fedcredit.process_id import ProcessId, boot_id, descendants, process_id, session_members

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


def test_this_start_of_the_machine_has_a_name() -> None:
    assert boot_id() == boot_id() != ""
