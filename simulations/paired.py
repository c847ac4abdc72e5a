"""Differences between two models on the same test records, with the part of chance in whom the records show.

Both models have scored every record, so what is hard or easy in the records is the same for both and falls out of the
difference: it is known better than either figure. For AUC, DeLong's paired variance: a bad's placement is the share of
goods whom the model puts below, a good's the share of bads above; the variance of the difference is that of the
differences of placements. The Brier score is a mean over records, and so is a difference of two.

References
----------
E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988), 837-845, section 3.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """One model on the test records.

    Parameters
    ----------
    labels
        Shape (n,): 1 for bad.
    pd
        Shape (n,): probabilities of bad.
    """

    labels: NDArray[np.uint8]
    pd: Floats

    @cached_property
    def placements(self) -> tuple[Floats, Floats]:
        """Of each bad the share of goods below, of each good the share of bads above; ties count half."""
        bad, good = self.pd[self.labels == 1], self.pd[self.labels == 0]
        return _share_below(good, bad), 1 - _share_below(bad, good)

    @property
    def both_classes(self) -> bool:
        """Whether there are goods and bads enough for a variance."""
        n_bad = int(self.labels.sum())
        return min(n_bad, len(self.labels) - n_bad) > 1


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the first model minus that of the second, and its standard deviation over samples of records."""

    value: float
    sampling_stddev: float


def auc_difference(first: Ranked, second: Ranked) -> Difference | None:
    """AUC of one model minus another's; None without two goods and two bads.

    Parameters
    ----------
    first, second
        The same records, scored by each.
    """
    if not first.both_classes:
        return None
    pairs = [mine - theirs for mine, theirs in zip(first.placements, second.placements, strict=True)]
    variance = sum(float(pair.var(ddof=1)) / len(pair) for pair in pairs)
    return Difference(float(pairs[0].mean()), math.sqrt(variance))


def brier_difference(first: Ranked, second: Ranked) -> Difference | None:
    """Brier score of one model minus another's; None with fewer than two records."""
    if len(first.labels) < 2:
        return None
    apart = (first.pd - first.labels) ** 2 - (second.pd - second.labels) ** 2
    return Difference(float(apart.mean()), math.sqrt(float(apart.var(ddof=1)) / len(apart)))


def _share_below(others: Floats, these: Floats) -> Floats:
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, these, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2 * len(others)))
