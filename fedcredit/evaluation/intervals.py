"""95 % intervals for AUC, KS and Brier score: sampling and noise, apart and together.

Sampling: the evaluation records are a sample. Noise: the counts were perturbed before they were released, by
a law that is public. The parts are independent, so variances add. The figure covered is that of the binned
scores, a little below that of the exact ranks (`score_grid` says how far). All of it is arithmetic on the
released counts and costs no privacy.

- AUC: DeLong's variance from mid-rank placements per bin; noise by the delta method (first order) plus the
  exact second-order term of the bilinear form, which counts once the noise is as large as the cells.
- KS: both parts at the threshold where the maximum was found.
- Brier: a ratio of sums linear in the cells; delta method.

References
----------
E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988), 837-845.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.calibration import Z95, brier, brier_costs
from fedcredit.evaluation.discrimination import auc, ks, nonnegative, shares_up_to, why_undefined
from fedcredit.evaluation.score_grid import ScoreGrid

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure in [0, 1] with the two parts of its uncertainty.

    Parameters
    ----------
    value
        Point estimate.
    sampling_stddev
        Standard deviation over samples of records, without noise.
    noise_stddev
        Standard deviation over the privacy noise, records fixed; 0 without privacy.
    """

    value: float
    sampling_stddev: float
    noise_stddev: float

    @property
    def stddev(self) -> float:
        """Both parts together."""
        return math.hypot(self.sampling_stddev, self.noise_stddev)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval, cut at 0."""
        return max(0.0, self.value - Z95 * self.stddev)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval, cut at 1."""
        return min(1.0, self.value + Z95 * self.stddev)


def auc_estimate(good: Floats, bad: Floats, noise_stddev: float = 0.0) -> Estimate | None:
    """Return the AUC with its uncertainty.

    Parameters
    ----------
    good, bad
        Counts per score bin, shape (B,), lowest PD first.
    noise_stddev
        Standard deviation of the noise per cell, in records.

    Returns
    -------
    Estimate or None
        None if a class is missing or cannot be told from the noise (`why_undefined`).
    """
    value = auc(good, bad)
    if value is None or why_undefined(good, bad, noise_stddev) is not None:
        return None
    n_good, n_bad = float(good.sum()), float(bad.sum())
    good_share, bad_share = nonnegative(good) / n_good, nonnegative(bad) / n_bad
    # Placements: the share of good below a bad record, and of bad above a good one, ties half.
    place_bad = np.cumsum(good_share) - good_share / 2
    place_good = 1 - (np.cumsum(bad_share) - bad_share / 2)
    centre = float((bad_share * place_bad).sum())
    around_bad, around_good = (place_bad - centre) ** 2, (place_good - centre) ** 2
    sampling = (bad_share * around_bad).sum() / n_bad + (good_share * around_good).sum() / n_good
    first_order = around_bad.sum() / n_bad**2 + around_good.sum() / n_good**2
    n_bins = len(good)
    second_order = noise_stddev**2 * (n_bins * (n_bins - 1) / 2 + n_bins / 4) / (n_bad * n_good) ** 2
    return Estimate(value, math.sqrt(sampling), noise_stddev * math.sqrt(first_order + second_order))


def ks_estimate(good: Floats, bad: Floats, noise_stddev: float = 0.0) -> Estimate | None:
    """Return KS with its uncertainty at the threshold found; None as in `auc_estimate`."""
    value = ks(good, bad)
    if value is None or why_undefined(good, bad, noise_stddev) is not None:
        return None
    shares = shares_up_to(good), shares_up_to(bad)
    split = int(np.abs(shares[0] - shares[1]).argmax())
    n_below, n_above = split + 1, len(good) - split - 1
    sampling = noise = 0.0
    for counts, share in zip((good, bad), shares, strict=True):
        below, total = float(share[split]), float(counts.sum())
        sampling += below * (1 - below) / total
        noise += (n_below * (1 - below) ** 2 + n_above * below**2) / total**2
    return Estimate(value, math.sqrt(sampling), noise_stddev * math.sqrt(noise))


def brier_estimate(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float = 0.0) -> Estimate | None:
    """Return the Brier score with its uncertainty; None if the records cannot be told from the noise."""
    value = brier(good, bad, grid)
    total = float(good.sum() + bad.sum())
    if value is None or total <= 3 * noise_stddev * math.sqrt(2 * len(good)):
        return None
    around = (brier_costs(grid) - value) ** 2
    counts = np.stack([nonnegative(good), nonnegative(bad)])
    sampling = math.sqrt((counts * around).sum()) / total
    return Estimate(value, sampling, noise_stddev * math.sqrt(around.sum()) / total)
