"""Recalibration from released counts: new log-odds of bad = intercept + slope × the model's.

The logistic regression of the outcome on the model's log-odds, over score bins (Cox, "Two further applications of a
model for binary regression", Biometrika 45, 1958). It is post-processing of charged counts: it costs nothing, and it
changes no reason code and no ranking as long as the slope is above 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from fedcredit.evaluation.figure import Z95_SQUARED, Figure, unknown
from fedcredit.evaluation.reliability import slope_figure
from fedcredit.evaluation.score_grid import ScoreGrid, bin_pd, sigmoid

Floats = NDArray[np.float64]
_FAR = 60.0


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What turns old log-odds into new ones; 0 and 1 leave them as they are."""

    intercept: Figure
    slope: Figure


def recalibration(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> Recalibration:
    """Fit intercept and slope.

    Parameters
    ----------
    good, bad
        Released counts per score bin, lowest PD first; shape (B,), may be negative.
    noise_stddev
        Of one count, in records.
    """
    slope = slope_figure(good, bad, grid, noise_stddev)
    if slope.value is None:
        return Recalibration(unknown(slope.why or "no slope"), slope)
    pd = bin_pd(grid)
    return Recalibration(_intercept(good, bad, np.log(pd / (1 - pd)), slope.value, noise_stddev), slope)


def _intercept(good: Floats, bad: Floats, logits: Floats, slope: float, noise_stddev: float) -> Figure:
    """Predicted and observed bads are equally many; the interval lets the slope move, too."""
    rows = np.maximum(good + bad, 0.0)

    def missing(intercept: float) -> float:
        return float((rows * sigmoid(intercept + slope * logits)).sum() - bad.sum())

    if missing(-_FAR) * missing(_FAR) >= 0:
        return unknown("all records have one outcome")
    value = float(brentq(missing, -_FAR, _FAR))
    fitted = sigmoid(value + slope * logits)
    curvature = rows * fitted * (1 - fitted)
    h00, h01, h11 = curvature.sum(), (curvature * logits).sum(), (curvature * logits**2).sum()
    # What one good and one bad record in each bin move the intercept by.
    reach = (h11 - h01 * logits) / (h00 * h11 - h01**2)
    pulls = np.stack([-fitted * reach, (1 - fitted) * reach])
    counts = np.maximum(np.stack([good, bad]), 0.0)
    sampling, noise = math.sqrt((counts * pulls**2).sum()), noise_stddev * math.sqrt((pulls**2).sum())
    half = math.sqrt(Z95_SQUARED) * math.hypot(sampling, noise)
    return Figure(value, value - half, value + half, sampling, noise)
