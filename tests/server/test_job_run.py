"""A run's lock and last word."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedcredit.errors import AbsenceError, ConfigError, JobError
from server.job_run import Ending, RunOutcome, has_died, held, outcome_of, reported, write_outcome

HOLDER = """
import pathlib, signal, sys
from server.job_run import held
with held(pathlib.Path(sys.argv[1]), "7"):
    print(1, flush=True)
    signal.pause()
"""


def test_a_killed_process_is_told_from_one_that_lives(tmp_path: Path) -> None:
    assert not has_died(tmp_path, "7")
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not has_died(tmp_path, "7")
        with pytest.raises(JobError, match="another process coordinates"), held(tmp_path, "8"):
            pass
        process.send_signal(signal.SIGKILL)
    assert has_died(tmp_path, "7")
    assert not has_died(tmp_path, "8")
    with held(tmp_path, "8"):
        assert not has_died(tmp_path, "8")
    assert has_died(tmp_path, "8")
    assert not has_died(tmp_path, "7")


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (AbsenceError("bank-1 did not appear"), Ending.WAITING),
        (JobError("train has 1 of 3"), Ending.FAILED),
        (ConfigError("no plan"), Ending.FAILED),
    ],
)
def test_an_error_of_ours_is_the_last_word(tmp_path: Path, error: Exception, ending: Ending) -> None:
    with pytest.raises(type(error)), reported(tmp_path, "7"):
        raise error
    assert outcome_of(tmp_path, "7") == RunOutcome(run="7", ending=ending, reason=str(error))
    assert outcome_of(tmp_path, "8") is None


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), SystemExit(1)])
def test_any_other_error_leaves_no_word(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), reported(tmp_path, "7"):
        raise error
    assert outcome_of(tmp_path, "7") is None


def test_the_end_of_the_job_is_the_last_word(tmp_path: Path) -> None:
    with reported(tmp_path, "7"):
        assert outcome_of(tmp_path, "7") is None
    assert outcome_of(tmp_path, "7") == RunOutcome(run="7", ending=Ending.FINISHED)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run": "7"}', b"\xff"])
def test_an_unreadable_word_is_none(tmp_path: Path, content: bytes) -> None:
    write_outcome(tmp_path, RunOutcome(run="7", ending=Ending.FINISHED))
    (tmp_path / "outcome.json").write_bytes(content)
    assert outcome_of(tmp_path, "7") is None
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]
