"""Whether two populations score alike: the population stability index, and what of it chance and noise explain.

``PSI = Σ (p - q) ln(p / q)`` over bins, between two independent releases; over a feature's bins it is called CSI. Both
sets of counts are samples and both carry noise, which alone push it up. Its expectation when nothing has shifted is,
to second order, the *floor*

    (B - 1) (1/n + 1/m) + Σ_b (v_p/n² + v_q/m²) / r_b

with n and m records, noise variances v_p and v_q per bin and r_b the common share of the bin. Only what lies above it
says anything; a rule of thumb such as 0.1 or 0.25 is read on the excess. Neighbouring bins are merged until each would
hold enough records for its noise in both if nothing had shifted: a bin that has run empty stays one, and counts with
what its noise could hide.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 9. B. Yurdakul, J. Naranjo, "Statistical properties of the
population stability index", Journal of Risk Model Validation 14 (2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

Floats = NDArray[np.float64]
_LEAST_RECORDS = 30.0
_NOISE_MULTIPLES = 5.0
_LEAST_SHOWN = 0.5
"""Records that an empty bin counts as, where there is no noise."""


@dataclass(frozen=True, slots=True)
class Stability:
    """One index.

    Attributes
    ----------
    index
        As computed; None where the counts say too little.
    floor
        What sampling and noise alone give on average.
    bins
        Bins that were left after merging.
    why
        Why there is no index, or None.
    null_stddev
        Standard deviation of the index when nothing has shifted, to second order and from above.
    """

    index: float | None
    floor: float | None
    bins: int
    why: str | None = None
    null_stddev: float | None = None

    @property
    def excess(self) -> float | None:
        """What is above the floor, at least 0."""
        return None if self.index is None or self.floor is None else max(0.0, self.index - self.floor)

    def limit(self, level: float) -> float | None:
        """What the index exceeds with probability `level` when nothing has shifted.

        The index is then a weighted sum of squared normals; a scaled chi-squared with its mean and variance stands for
        it (Satterthwaite, Biometrics Bulletin 2, 1946).
        """
        if self.floor is None or self.null_stddev is None:
            return None
        scale = self.null_stddev**2 / (2 * self.floor)
        return float(scale * chdtri(self.floor / scale, level))


def stability(first: Floats, second: Floats, first_noise: float, second_noise: float) -> Stability:
    """Compare two histograms over the same bins.

    Parameters
    ----------
    first, second
        Released counts, shape (B,); may be negative.
    first_noise, second_noise
        Standard deviation of the noise on one count.
    """
    totals = float(first.sum()), float(second.sum())
    runs = _runs(first, second, first_noise, second_noise)
    if min(totals) <= 0 or len(runs) < 2:
        return Stability(None, None, len(runs), "too few records for the noise")
    starts = np.array([start for start, _ in runs])
    cells = np.diff([*starts, len(first)])
    p, q = (
        np.maximum(np.add.reduceat(counts, starts), np.maximum(_LEAST_SHOWN, noise * np.sqrt(cells))) / total
        for counts, noise, total in zip((first, second), (first_noise, second_noise), totals, strict=True)
    )
    shared = (p + q) / 2
    index = float(((p - q) * np.log(p / q)).sum())
    noise = cells * ((first_noise / totals[0]) ** 2 + (second_noise / totals[1]) ** 2) / shared
    sampling = 1 / totals[0] + 1 / totals[1]
    floor = (len(runs) - 1) * sampling + float(noise.sum())
    # Each bin's weight, the one that the total fixes among them: a little more than the variance is.
    spread = float(np.sqrt(2 * ((sampling + noise) ** 2).sum()))
    return Stability(index, floor, len(runs), null_stddev=spread)


def _runs(first: Floats, second: Floats, first_noise: float, second_noise: float) -> list[tuple[int, int]]:
    """Merge bins from the left until a run's common share would stand out in both; the rest joins the last run."""
    totals = float(first.sum()), float(second.sum())
    if min(totals) <= 0:
        return []
    shared = (first / totals[0] + second / totals[1]) / 2
    runs: list[tuple[int, int]] = []
    start = 0
    for stop in range(1, len(first) + 1):
        width, share = (stop - start) ** 0.5, float(shared[start:stop].sum())
        if all(
            share * total >= max(_LEAST_RECORDS, _NOISE_MULTIPLES * noise * width)
            for total, noise in zip(totals, (first_noise, second_noise), strict=True)
        ):
            runs.append((start, stop))
            start = stop
    if runs and start < len(first):
        runs[-1] = (runs[-1][0], len(first))
    return runs
