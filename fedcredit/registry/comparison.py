"""Champion against challenger: differences of released figures with intervals.

Each model was evaluated by a job of its own. If the same people were counted in both, their sampling errors are alike
and the difference is known better than its interval says; the noises are independent in any case. So an interval here
is not too narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.evaluation.figure import Z95_SQUARED, Figure, difference, unknown

FIGURES = {"auc": "higher is better", "ks": "higher is better", "brier": "lower is better"}
"""Released figures that are compared, and what is better."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of two models.

    Attributes
    ----------
    delta
        Challenger minus champion.
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


def compare(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> tuple[Compared, ...]:
    """Compare two jobs' ``evaluation.json``.

    Raises
    ------
    ConfigError
        If one of them is no evaluation of ours.
    """
    out = []
    for name, better in FIGURES.items():
        first, second = _figure(champion, name), _figure(challenger, name)
        out.append(Compared(name, better, first, second, difference(second, first)))
    return tuple(out)


def _figure(evaluation: Mapping[str, Any], name: str) -> Figure:
    if not evaluation:
        return unknown("the job was not evaluated")
    try:
        value, low, high = (evaluation[key] for key in (name, f"{name}_low", f"{name}_high"))
    except KeyError as error:
        raise ConfigError(f"an evaluation lacks {error}; name the evaluation.json of a job of this version.") from error
    if value is None:
        return unknown(str(evaluation.get("unavailable")))
    # The file gives the interval of sampling and noise together.
    return Figure(value, low, high, sampling_stddev=(high - low) / (2 * Z95_SQUARED**0.5))
