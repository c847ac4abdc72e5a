"""How true PDs are, with intervals: observed against predicted rate, calibration slope, Brier score taken apart.

The slope solves estimating equations that are linear in the released cells. Its interval holds the slopes at which they
do not differ from 0, so it holds where noise skews the slope itself; the ± parts are the sandwich's, the equation's
standard deviation over the curvature of the loss.

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
from fedcredit.privacy.brent import root

Floats = NDArray[np.float64]
# Slopes between which an interval must end for a slope to be stated.
_SLOPES = (-2.0, 8.0)
_TOO_FEW = "noise, or too few records or score bins, leave the slope open"


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
        return unknown(why or _TOO_FEW)
    equations = _Equations(good, bad, grid, noise_stddev)
    low, high = equations.crossing(value, _SLOPES[0]), equations.crossing(value, _SLOPES[1])
    if low is None or high is None:
        return unknown(_TOO_FEW)
    at = equations.at(value)
    return Figure(value, low, high, at.sampling_stddev / at.curvature, at.noise_stddev / at.curvature)


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


@dataclass(frozen=True, slots=True)
class _Residual:
    """The slope's estimating equation at one slope, its standard deviations, and how fast it falls."""

    value: float
    sampling_stddev: float
    noise_stddev: float
    curvature: float


class _Equations:
    """The estimating equation of the slope on released counts."""

    def __init__(self, good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> None:
        pd = bin_pd(grid)
        self._logits = np.log(pd / (1 - pd))
        self._bad, self._rows, self._noise = bad, good + bad, noise_stddev**2
        self._intercept = 0.0
        self._believed = nonnegative(good), nonnegative(bad), nonnegative(good + bad)

    def at(self, steepness: float) -> _Residual:
        """Observed minus fitted bads along the logits, with the intercept that the slope asks for."""
        good, bad, rows = self._believed
        fitted = self._fitted(steepness)
        weights = rows * fitted * (1 - fitted)
        along = self._logits - (weights * self._logits).sum() / weights.sum()
        of_good, of_bad = (fitted * along) ** 2, ((1 - fitted) * along) ** 2
        sampling, noise = float((good * of_good + bad * of_bad).sum()), self._noise * float((of_good + of_bad).sum())
        residual = float((along * (self._bad - self._rows * fitted)).sum())
        return _Residual(residual, math.sqrt(sampling), math.sqrt(noise), float((weights * along**2).sum()))

    def against(self, steepness: float) -> float:
        """Positive where the counts speak against a slope at 5 %."""
        at = self.at(steepness)
        return abs(at.value) - Z95 * math.hypot(at.sampling_stddev, at.noise_stddev)

    def crossing(self, inside: float, outside: float) -> float | None:
        """End of the interval between a slope inside it and one outside; None if both are inside."""
        if self.against(outside) <= 0 or self.against(inside) >= 0:
            return None
        return root(self.against, min(inside, outside), max(inside, outside), xtol=1e-5, rtol=1e-9)

    def _fitted(self, steepness: float) -> Floats:
        """PDs at a slope, with the intercept at which predicted and observed bads are equally many."""
        rows, wanted, intercept = self._believed[2], float(self._bad.sum()), self._intercept
        for _ in range(100):
            fitted = sigmoid(intercept + steepness * self._logits)
            weight = float((rows * fitted * (1 - fitted)).sum())
            step = (wanted - float((rows * fitted).sum())) / max(weight, 1e-9)
            intercept += max(-1.0, min(1.0, step))
            if abs(step) < 1e-9:
                break
        self._intercept = intercept  # the next slope asked for is near
        return sigmoid(intercept + steepness * self._logits)
