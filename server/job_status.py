"""How a running job stands: what the coordinator's process writes beside the job's store, for whoever watches.

It is news, not truth: the store alone decides where a job goes on. It holds nothing that the coordinator does not
send or receive, and never an institution's remaining budget, which the coordinator does not know.
"""

from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from fedcredit.job.progress import Progress
from fedcredit.plan import Plan

STATUS_FILE = "progress.json"


class Awaited(BaseModel):
    """An institution that a step waits for.

    Attributes
    ----------
    since
        When the step began to wait for it.
    asked
        How often it was asked in this step; 0 while it has no node online.
    fault
        Why it last gave no answer, in words; empty if nothing failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    institution: str
    since: AwareDatetime
    asked: int = 0
    fault: str = ""


class JobStatus(BaseModel):
    """The news of one moment.

    Attributes
    ----------
    state
        ``asking``; ``done``; ``stopped``, with the reason.
    refusals
        What institutions refused, latest sentence each.
    bytes_out, bytes_in
        Envelopes sent and received, over all runs of the job.
    exchanges
        How often messages were sent out to be answered, over all runs.
    seconds
        How long each step took that was decided, oldest first.
    steps_left
        Exchanges to the end of the job if nothing fails, the one at hand included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["asking", "done", "stopped"]
    reason: str = ""
    phase: str
    round: int
    attempt: int
    members: tuple[str, ...]
    waiting: tuple[Awaited, ...] = ()
    refusals: dict[str, str] = {}
    bytes_out: int = 0
    bytes_in: int = 0
    exchanges: int = 0
    seconds: tuple[float, ...] = ()
    steps_left: int
    written: AwareDatetime

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end of the job at the median step's pace; None before the first step is over."""
        return median(self.seconds) * self.steps_left if self.seconds else None


def read_status(folder: Path) -> JobStatus | None:
    """Read the news of a job's folder; None if there is none that can be read."""
    try:
        return JobStatus.model_validate_json((folder / STATUS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def steps_left(plan: Plan, progress: Progress) -> int:
    """Exchanges to the end of the job if nothing fails, the one at hand included."""
    trained = [("train", round_) for round_ in range(1, plan.phases.train.rounds + 1)]
    order = [("preflight", 1), *trained, ("evaluate", 1), ("release", 0)]
    phase, round_ = progress.next_phase, progress.next_round
    if phase == "done":
        return 0
    if phase not in ("join", "keys"):
        return len(order) - order.index((phase, round_))
    waits = progress.resume[:2] if progress.resume else order[0]
    agreeing = 2 if phase == "join" and plan.privacy.masks else 1
    return agreeing + len(order) - order.index(waits)
