"""Intercept and slope that make a view's PDs true again, from one released score histogram.

A model that ranks well may still say PDs that are too high or too extreme: another portfolio, another year. A logistic
regression of the outcome on the score's own log-odds, on the released counts, finds both; it knows the noise on them,
and where they say little it leaves the scores as they are. Free post-processing of a release that was charged already.

References
----------
Platt, "Probabilistic Outputs for Support Vector Machines", 1999. Cox, "Two Further Applications of a Model for Binary
Regression", Biometrika 45, 1958 (intercept and slope).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.count_regression import CellCounts, fit
from fedcredit.errors import ConfigError, DataError
from fedcredit.evaluation.score_grid import ScoreGrid, bin_nodes

Floats = NDArray[np.float64]
UNIT = 1024
"""Units per logit, and per logit of logit, of the integer map."""

# How far off a view may be before its counts are seen: logits at its mean score, and logits per logit.
_PRIOR_STDDEV = np.array([1.0, 0.5])
_LARGEST = 8 * UNIT
# Noisy bins borrow from so many on either side when their weights are set.
_NEIGHBOURS = 2


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The affine map ``intercept + slope · logit``.

    Attributes
    ----------
    intercept, slope
        In units of 1/1024, so that integer margins stay integers.
    intercept_stddev, slope_stddev
        Uncertainty from sampling and noise together, in logits and logits per logit.
    """

    intercept: int
    slope: int
    intercept_stddev: float
    slope_stddev: float

    def apply(self, margins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Recalibrated margins in units of 1/1024 logit, any shape; the same on every machine."""
        scaled: NDArray[np.int64] = self.slope * margins + UNIT // 2
        return np.asarray(scaled // UNIT + self.intercept, dtype=np.int64)


def recalibrate(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float = 0.0) -> Recalibration:
    """Fit intercept and slope to released counts.

    Parameters
    ----------
    good, bad
        Released counts per score bin in records, shape (B,); cells may be negative.
    grid
        The public score bins.
    noise_stddev
        Standard deviation of the noise on one count, in records; 0 without privacy.

    Returns
    -------
    Recalibration
        Near the identity where counts say little against the noise.

    Raises
    ------
    DataError
        If the counts do not fit the grid or are not finite.
    ConfigError
        If `noise_stddev` is negative or not finite.
    """
    _check(good, bad, grid, noise_stddev)
    nodes, expected = bin_nodes(grid), _expected(good + bad, noise_stddev)
    total = float(np.add.reduce(expected))
    middle = float(np.add.reduce(expected * nodes.mean(axis=1))) / total if total > 0 else 0.0
    cells = CellCounts(
        design=np.stack([np.ones_like(nodes), nodes - middle], axis=-1),
        shares=np.full(nodes.shape, 1 / nodes.shape[1]),
        good=good,
        bad=bad,
        expected=expected,
        noise_variance=noise_stddev**2,
    )
    found = fit(cells, np.array([middle, 1.0]), np.eye(2) / _PRIOR_STDDEV**2)
    # From the value at the middle to the intercept at 0, which the uncertainty of the slope widens.
    back = np.array([1.0, -middle])
    spread = np.add.reduce(back[:, None] * found.covariance * back, axis=(0, 1))
    level, slope = found.values
    return Recalibration(
        intercept=_integer(level - slope * middle),
        slope=_integer(slope),
        intercept_stddev=float(np.sqrt(spread)),
        slope_stddev=float(found.stddev[1]),
    )


def _expected(rows: Floats, noise_stddev: float) -> Floats:
    """Records per bin for the weights, shrunk as far as what is seen is noise; shape (B,)."""
    if not noise_stddev:
        return np.asarray(np.maximum(rows, 0.0))
    padded = np.pad(rows, _NEIGHBOURS, mode="edge")
    near = np.stack([padded[shift : shift + len(rows)] for shift in range(2 * _NEIGHBOURS + 1)]).mean(axis=0)
    noise = 2 * noise_stddev**2 / (2 * _NEIGHBOURS + 1)
    # Twice the noise, so that what chance leaves of it is not taken for records.
    believed = max(0.0, 1 - 2 * noise / max(float(np.add.reduce(near**2)) / len(near), 1e-12))
    return np.asarray(believed * np.maximum(near, 0.0))


def _integer(value: float) -> int:
    return int(np.clip(np.rint(value * UNIT), -_LARGEST, _LARGEST))


def _check(good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float) -> None:
    if good.shape != (grid.n_bins,) or bad.shape != (grid.n_bins,):
        raise DataError(f"good and bad need one count for each of {grid.n_bins} bins, got {good.shape} and {bad.shape}")
    if not (np.isfinite(good).all() and np.isfinite(bad).all()):
        raise DataError("a score histogram holds a value that is not finite; it was not decoded from a release.")
    if not (np.isfinite(noise_stddev) and noise_stddev >= 0):
        raise ConfigError(f"noise_stddev must be finite and >= 0, got {noise_stddev}.")
