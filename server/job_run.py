"""One run of a job, seen from its folder: whether its process lives, and how the job ended in it.

The ServerApp holds a lock in the job's folder while it runs, so that a job is never coordinated twice at once, and
leaves a word when it ends: the job is finished, failed, or waits for something that mends itself. A run that ended
without a word was killed, and its job goes on in the next one.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fedcredit.errors import AbsenceError, FedcreditError, JobError

_LOCK, _OUTCOME = "run.lock", "outcome.json"


class Ending(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    FAILED = "failed"
    WAITING = "waiting"


class RunOutcome(BaseModel):
    """A run's last word.

    Attributes
    ----------
    run
        Flower's number of the run.
    reason
        The sentence for the operator; empty if the job is finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    ending: Ending
    reason: str = ""


@contextmanager
def held(folder: Path, run: str) -> Iterator[None]:
    """Be the one process that coordinates the job in a folder.

    Raises
    ------
    JobError
        If another process does.
    """
    descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(f"another process coordinates the job in {folder} now; wait until it has ended.") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, run.encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reported(folder: Path, run: str) -> Iterator[None]:
    """Leave the run's last word when the block ends: a sentence of ours ends the job, unless waiting mends it."""
    try:
        yield
    except AbsenceError as error:
        write_outcome(folder, RunOutcome(run=run, ending=Ending.WAITING, reason=str(error)))
        raise
    except FedcreditError as error:
        write_outcome(folder, RunOutcome(run=run, ending=Ending.FAILED, reason=str(error)))
        raise
    write_outcome(folder, RunOutcome(run=run, ending=Ending.FINISHED))


def has_died(folder: Path, run: str) -> bool:
    """Whether a run's process has worked on the job in a folder and does so no more."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return os.pread(descriptor, 100, 0) == run.encode("ascii")
    finally:
        os.close(descriptor)


def write_outcome(folder: Path, outcome: RunOutcome) -> None:
    """Leave a run's last word, in one step."""
    partial = folder / f"{_OUTCOME}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(outcome.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / _OUTCOME)


def outcome_of(folder: Path, run: str) -> RunOutcome | None:
    """A run's last word; None if it has not left any."""
    try:
        outcome = RunOutcome.model_validate(json.loads((folder / _OUTCOME).read_bytes()))
    except (FileNotFoundError, ValueError, ValidationError):
        return None
    return outcome if outcome.run == run else None
