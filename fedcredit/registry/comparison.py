"""Champion against challenger: differences of released figures with intervals.

Each model was evaluated by a job of its own. The noises of the two releases are independent, so their variances add. If
the same people were counted in both, their sampling errors are alike, but released counts do not say how much: the
sampling parts are added as if the people were others, so an interval here is not too narrow. (A simulation, which holds
the records, pairs them: part 10 of its report.)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.evaluation.figure import Z95_SQUARED, Figure, unknown
from fedcredit.registry.released_figures import total_stddev

FIGURES = {"auc": "higher is better", "ks": "higher is better", "brier": "lower is better"}
"""Released figures that are compared, and what is better."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of two models.

    Attributes
    ----------
    delta
        Challenger minus champion; sampling and noise stand apart where both figures tell them apart.
    """

    name: str
    better: str
    champion: Figure
    challenger: Figure
    delta: Figure

    @property
    def verdict(self) -> str:
        """What the difference says."""
        if self.delta.low is None or self.delta.high is None:
            return f"unknown: {self.delta.why}"
        if self.delta.low <= 0 <= self.delta.high:
            return "no difference can be told"
        return "challenger" if (self.delta.low > 0) == self.better.startswith("higher") else "champion"


def compare(champion: Mapping[str, Figure], challenger: Mapping[str, Figure]) -> tuple[Compared, ...]:
    """Compare the released figures of two models, as `fedcredit.registry.released_figures` reads them."""
    return tuple(
        Compared(name, better, champion[name], challenger[name], _delta(challenger[name], champion[name]))
        for name, better in FIGURES.items()
    )


def _delta(first: Figure, second: Figure) -> Figure:
    if first.value is None or second.value is None:
        return unknown(first.why or second.why or "")
    value = first.value - second.value
    half = math.sqrt(Z95_SQUARED) * math.hypot(total_stddev(first), total_stddev(second))
    parts = ((one.sampling_stddev, one.noise_stddev) for one in (first, second))
    sampling, noise = (_both(mine, theirs) for mine, theirs in zip(*parts, strict=True))
    return Figure(value, value - half, value + half, sampling, noise)


def _both(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or theirs is None else math.hypot(mine, theirs)
