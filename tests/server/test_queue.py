"""The queue: order, stops and resumes, what survives, and two writers at once."""

import sqlite3
import threading
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError, JobError
from server.queue import Queue, State


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "state/queue.sqlite", clock=lambda: 100.0)


def test_jobs_run_in_the_order_of_submission(queue: Queue) -> None:
    for name in ("b", "a"):
        queue.submit(name)
    assert [job.name for job in queue.jobs()] == ["b", "a"]
    assert queue.current() == queue.job("b")
    queue.end("b", State.FINISHED, "")
    assert queue.current() == queue.job("a")
    queue.end("a", State.FAILED, "quorum")
    assert queue.current() is None


def test_the_running_job_comes_first_even_if_it_was_resumed(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.submit(name)
    queue.will_start("b", "00")
    assert queue.current() == queue.job("b")


def test_a_name_is_taken_once(queue: Queue) -> None:
    queue.submit("a")
    with pytest.raises(JobError, match="job 'a' already"):
        queue.submit("a")
    with pytest.raises(JobError, match="job 'a' already"):
        queue.require_new("a")
    queue.require_new("b")


def test_a_waiting_job_stops_at_once_and_a_running_one_when_the_dispatcher_has_stopped_it(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.submit(name)
    queue.will_start("a", "00")
    assert queue.ask_to_stop("b") is State.STOPPED
    assert queue.ask_to_stop("a") is State.RUNNING
    assert queue.job("a").stop_asked
    with pytest.raises(JobError, match="'b' is stopped; only a queued or running"):
        queue.ask_to_stop("b")


def test_a_resumed_job_begins_anew_at_the_end_of_the_queue(queue: Queue) -> None:
    for name in ("a", "b"):
        queue.submit(name)
    queue.will_start("a", "00")
    queue.has_started("a", "7")
    with pytest.raises(JobError, match="'a' is running; only a stopped or failed"):
        queue.resume("a")
    queue.try_again("a", "died", 3, 999.0)
    queue.end("a", State.FAILED, "quorum")
    queue.resume("a")
    job = queue.job("a")
    assert [one.name for one in queue.jobs()] == ["b", "a"]
    assert (job.state, job.failures, job.not_before, job.bundle, job.run) == (State.QUEUED, 0, 0.0, None, None)
    assert queue.runs_of("a") == 1


def test_a_finished_job_is_not_resumed(queue: Queue) -> None:
    queue.submit("a")
    queue.end("a", State.FINISHED, "")
    with pytest.raises(JobError, match="finished"):
        queue.resume("a")


def test_an_unknown_job_is_named(queue: Queue) -> None:
    with pytest.raises(JobError, match="no job 'x'"):
        queue.job("x")
    with pytest.raises(JobError, match="no job 'x'"):
        queue.ask_to_stop("x")


def test_what_is_written_is_there_for_everybody_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    with Queue(path) as one:
        # A second one in the same process, closed in between: its locks must not take the first one's with them.
        with Queue(path) as other:
            other.submit("a")
        one.will_start("a", "00")
        reader = sqlite3.connect(path)
        assert reader.execute("SELECT state, starting FROM job").fetchall() == [("running", 1)]
        reader.close()
        one.has_started("a", "7")
        with Queue(path) as other:
            assert other.known_runs() == {"7"}
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_queue_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        Queue(path)
    assert path.read_bytes() == b"not a database" * 100


def test_a_queue_that_another_holds_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.state_file._BUSY_TIMEOUT_S", 0.05)
    queue = Queue(tmp_path / "queue.sqlite")
    other = sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JobError, match="queue cannot be written"):
        queue.submit("a")
    other.execute("ROLLBACK")
    queue.submit("a")
    other.close()


def test_a_command_waits_while_the_dispatcher_makes_the_file(tmp_path: Path) -> None:
    """SQLite's own patience does not cover the switch to a write-ahead log."""
    path = tmp_path / "queue.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE made (seq INTEGER)")
    other.execute("BEGIN IMMEDIATE")
    holds = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    holds.start()
    with Queue(path) as queue:
        assert queue.jobs() == []
    holds.join()
    other.close()
