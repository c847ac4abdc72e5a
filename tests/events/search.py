"""Many sequences, drawn by hypothesis; what they reached, which failed, and the shortest form of a failure.

Hypothesis draws; a failing list is shortened here, by leaving operations out as long as the same condition fails. That
takes a hundred runs where hypothesis, which would also try every smaller number, takes thousands.
"""

import gc
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.events.consortium import prepare
from tests.events.invariants import ViolationError
from tests.events.operations import Operation, Sequence, sequences
from tests.events.world import World

_MOST_FAILURES = 3
# Sequences that are drawn under one seed.
_PART = 250
_MOST_SHORTENINGS = 300


@dataclass
class Report:
    """What a search has seen.

    Attributes
    ----------
    sequences
        How many were run.
    reached
        Operations, answers, refusals, decisions and endings, each with its number.
    failures
        The first failures, shortened, with what failed.
    """

    sequences: int = 0
    reached: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, Sequence]] = field(default_factory=list)
    failed: int = 0

    def take(self, other: "Report") -> None:
        """Add another search."""
        self.sequences += other.sequences
        self.failed += other.failed
        self.reached += other.reached
        self.failures += other.failures


def outcome(sequence: Sequence, reached: Counter[str] | None = None) -> str:
    """What a sequence breaks; nothing if it is as it should be."""
    world = World(sequence.tenths)
    try:
        world.run(sequence)
    except ViolationError as violation:
        return str(violation)
    finally:
        world.close()
        if reached is not None:
            reached.update(world.reached)
    return ""


def search(number: int, start: int, most_failures: int = _MOST_FAILURES) -> Report:
    """Run that many sequences, or until enough have failed."""
    report, found = Report(), []

    @seed(start)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences())
    def once(sequence: Sequence) -> None:
        if len(found) < most_failures:
            report.sequences += 1
            if broken := outcome(sequence, report.reached):
                found.append((broken, sequence))

    once()
    report.failed = len(found)
    report.failures = [shortened(broken, sequence) for broken, sequence in found[:1]]
    return report


def shortened(broken: str, sequence: Sequence) -> tuple[str, Sequence]:
    """Without the operations that the same failure does not need."""
    condition, tries = broken.split(":", maxsplit=1)[0], 0
    size = max(1, len(sequence.operations) // 2)
    while size:
        place = 0
        while place < len(sequence.operations) and tries < _MOST_SHORTENINGS:
            tries += 1
            kept: tuple[Operation, ...] = sequence.operations[:place] + sequence.operations[place + size :]
            found = outcome(Sequence(sequence.tenths, kept))
            if found.split(":")[0] == condition:
                broken, sequence = found, Sequence(sequence.tenths, kept)
            else:
                place += size
        size //= 2
    return broken, sequence


def search_with(workers: int, number: int, start: int, tell: Callable[[Report], None] = lambda _: None) -> Report:
    """The same on several processes, in parts with a seed each.

    Parameters
    ----------
    tell
        Called with the report so far, after each part.
    """
    parts = -(-number // _PART)
    sizes = [_PART] * (parts - 1) + [number - _PART * (parts - 1)]
    report = Report()
    with ProcessPoolExecutor(workers, get_context("spawn"), _quiet) as pool:
        for part in pool.map(search, sizes, range(start, start + parts)):
            report.take(part)
            tell(report)
    return report


def described(report: Report) -> str:
    """The report as lines."""
    lines = [f"{report.sequences} sequences, {report.failed} failures"]
    lines += [f"{count:>9}  {what}" for what, count in sorted(report.reached.items())]
    for broken, sequence in report.failures:
        lines += ["", broken, f"Sequence({sequence.tenths}, (", *(f"    {one!r}," for one in sequence.operations), "))"]
    return "\n".join(lines)


def _quiet() -> None:
    """In a process of its own: no lines for refusals, of which there are many, and fixed models."""
    logging.disable(logging.CRITICAL)
    prepare(pytest.MonkeyPatch())
    # Worlds are rings of objects, and there is always a next one: looked for rarely.
    gc.set_threshold(100_000, 20, 20)
