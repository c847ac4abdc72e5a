"""How true PDs are, with intervals: observed against predicted rate, calibration slope, Brier score taken apart.

The slope solves estimating equations that are linear in the released cells, so its variance is a sandwich: the
curvature of the loss around the variance of the equations, sampling and noise apart.

The Brier score of a table is reliability - resolution + uncertainty (Murphy 1973). Noise and sampling push the first
two up; their expected excess, the variance of each row's observed rate, is taken off (Ferro and Fricker 2012).

References
----------
A. H. Murphy, "A new vector partition of the probability score", Journal of Applied Meteorology 12 (1973), 595-600.
C. A. T. Ferro, T. E. Fricker, "A bias-corrected decomposition of the Brier score", Quarterly Journal of the Royal
Meteorological Society 138 (2012), 1954-1960.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.calibration import Z95, CalibrationRow, slope
from fedcredit.evaluation.discrimination import nonnegative, why_undefined
from fedcredit.evaluation.figure import Figure, unknown
from fedcredit.evaluation.ratio import NOTHING, ratio
from fedcredit.evaluation.score_grid import ScoreGrid, bin_nodes, bin_pd, sigmoid

Floats = NDArray[np.float64]
# Half an interval: beyond it the slope's law is so skewed that the interval covers less than it says.
_WIDEST_SLOPE = 0.5


@dataclass(frozen=True, slots=True)
class BrierParts:
    """The Brier score of the calibration table, taken apart.

    Attributes
    ----------
    reliability
        Mean squared gap between predicted and observed rate, 0 is ideal; corrected, so it may be slightly negative.
    resolution
        How far the rows' observed rates lie from the base rate, squared; more is better.
    uncertainty
        Base rate times one minus it: the Brier score of who knows nothing else.
    """

    reliability: float
    resolution: float
    uncertainty: float


def gap(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> Figure:
    """Observed bad rate minus mean predicted PD; 0 is ideal, above 0 the model is too optimistic."""
    pd = bin_pd(grid)
    return _mean(good, bad, -pd, 1 - pd, noise_stddev)


def mean_logit(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> Figure:
    """Mean predicted log-odds of bad, to the resolution of the bins."""
    logits = bin_nodes(grid).mean(axis=1)
    return _mean(good, bad, logits, logits, noise_stddev)


def mean_pd(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> Figure:
    """Mean predicted PD, to the resolution of the bins."""
    pd = bin_pd(grid)
    return _mean(good, bad, pd, pd, noise_stddev)


def bad_share(good: Floats, bad: Floats, noise_stddev: float) -> Figure:
    """Observed share of bads."""
    cells, n_bins = np.array([good.sum(), bad.sum()]), len(good)
    return ratio(np.array([0.0, 1.0]), np.ones(2), cells, np.full(2, n_bins * noise_stddev**2))


def slope_figure(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> Figure:
    """Calibration slope: 1 is ideal; below 1 the PDs are too extreme."""
    why = why_undefined(good, bad, noise_stddev)
    value = None if why else slope(good, bad, grid)
    if value is None:
        return unknown(why or "noise or too few bins leave no slope")
    pd = bin_pd(grid)
    logits, intercept = np.log(pd / (1 - pd)), _intercept(good, bad, grid, value)
    fitted = sigmoid(intercept + value * logits)
    curvature = nonnegative(good + bad) * fitted * (1 - fitted)
    h00, h01, h11 = curvature.sum(), (curvature * logits).sum(), (curvature * logits**2).sum()
    determinant = float(h00 * h11 - h01**2)
    if determinant <= 0:
        return unknown("one score bin holds everybody")
    # What one good and one bad record in each bin move the slope by.
    reach = (h00 * logits - h01) / determinant
    pulls = np.stack([-fitted * reach, (1 - fitted) * reach])
    counts = np.stack([nonnegative(good), nonnegative(bad)])
    sampling, noise = math.sqrt((counts * pulls**2).sum()), noise_stddev * math.sqrt((pulls**2).sum())
    half = Z95 * math.hypot(sampling, noise)
    if half > _WIDEST_SLOPE:
        return unknown("too few records for the noise")
    return Figure(value, value - half, value + half, sampling, noise)


def brier_parts(rows: tuple[CalibrationRow, ...]) -> BrierParts | None:
    """Take the Brier score apart; None without rows."""
    total = sum(row.n_rows for row in rows)
    if total <= 0:
        return None
    shares = np.array([row.n_rows for row in rows]) / total
    observed, predicted = np.array([row.bad_rate for row in rows]), np.array([row.mean_pd for row in rows])
    spread = np.array([(row.high - row.low) / (2 * Z95) for row in rows]) ** 2
    base_rate = float((shares * observed).sum())
    excess, of_mean = float((shares * spread).sum()), float((shares**2 * spread).sum())
    return BrierParts(
        reliability=float((shares * (observed - predicted) ** 2).sum()) - excess,
        resolution=float((shares * (observed - base_rate) ** 2).sum()) - excess + of_mean,
        uncertainty=base_rate * (1 - base_rate) + of_mean,
    )


def _mean(good: Floats, bad: Floats, of_good: Floats, of_bad: Floats, noise_stddev: float) -> Figure:
    counts, weights = np.concatenate([good, bad]), np.concatenate([of_good, of_bad])
    figure = ratio(weights, np.ones_like(counts), counts, np.full(len(counts), noise_stddev**2))
    return unknown(NOTHING) if figure.value is None else figure


def _intercept(good: Floats, bad: Floats, grid: ScoreGrid, steepness: float) -> float:
    """The intercept that belongs to a slope: predicted and observed bads are equally many."""
    pd, rows = bin_pd(grid), nonnegative(good + bad)
    logits, wanted = np.log(pd / (1 - pd)), float(bad.sum())
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if (rows * sigmoid(middle + steepness * logits)).sum() < wanted else (low, middle)
    return (low + high) / 2
