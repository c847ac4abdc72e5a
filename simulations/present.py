"""What a person sees while a simulation runs: the plan, one line per phase, the final table."""

import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from fedcredit.job.progress import Progress
from fedcredit.job.store import Decided, Outcome
from simulations.population.segment_files import segments_table
from simulations.population.segments import SegmentFigures
from simulations.results import PlanSummary, RunResult
from simulations.tables import phase_line, plan_table, results_table, trouble_line


class Audience(Protocol):
    """Who is told what happens."""

    def planned(self, summary: PlanSummary, training_rounds: int) -> None:
        """Hear the plan before anything is charged."""
        ...

    def decided(self, decided: Decided, progress: Progress) -> None:
        """Hear of one decided step of the joint job."""
        ...

    def comparing(self, what: str) -> None:
        """Hear of a rival before it runs."""
        ...

    def finished(self, result: RunResult) -> None:
        """Hear the results."""
        ...

    def judged(self, segments: Sequence[SegmentFigures]) -> None:
        """Hear the figures by segment; empty unless the customers were drawn."""
        ...


class Silence:
    """Nobody is told; for `simulate` in a program."""

    def planned(self, summary: PlanSummary, training_rounds: int) -> None:
        """Say nothing."""

    def decided(self, decided: Decided, progress: Progress) -> None:
        """Say nothing."""

    def comparing(self, what: str) -> None:
        """Say nothing."""

    def finished(self, result: RunResult) -> None:
        """Say nothing."""

    def judged(self, segments: Sequence[SegmentFigures]) -> None:
        """Say nothing."""


class Narrator:
    """Prints to the terminal; a phase's line is redrawn while it runs where the terminal allows it."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._rounds = 1
        self._since = time.monotonic()

    def planned(self, summary: PlanSummary, training_rounds: int) -> None:
        """Print what each institution will spend."""
        self._rounds = training_rounds
        self._console.print(plan_table(summary))
        self._since = time.monotonic()

    def decided(self, decided: Decided, progress: Progress) -> None:  # noqa: ARG002  (the protocol's signature)
        """Print the phase's line when it is done, and redraw it before; say at once what did not go to plan."""
        if decided.outcome is not Outcome.DONE:
            self._console.print(trouble_line(decided))
            return
        total = self._rounds if decided.phase == "train" else 1
        done = max(decided.round, 1)
        line = phase_line(
            decided.phase, done, total, time.monotonic() - self._since, f"{len(decided.members)} institutions"
        )
        if done >= total:
            self._console.print(line)
            self._since = time.monotonic()
        elif self._console.is_terminal:
            self._console.print(line, end="\r")

    def comparing(self, what: str) -> None:
        """Redraw the line that names the rival at work."""
        if self._console.is_terminal:
            self._console.print(f"[dim]compare   {what:<40}[/dim]", end="\r")

    def finished(self, result: RunResult) -> None:
        """Print the table per view."""
        self._console.print(results_table(result))

    def judged(self, segments: Sequence[SegmentFigures]) -> None:
        """Print the table by segment, if there is one."""
        if segments:
            self._console.print(segments_table(segments))
