"""Whether PDs are true: Brier score, log loss, calibration table, slope and ECE from score histograms.

A bin stands for all PDs inside it. Scoring a good or bad record by its bin's mean PD would overstate the
Brier score by the spread of PDs within the bin; instead each bin has a public *cost* for a good and for a bad
record, averaged over the bin's PDs with the weight that a calibrated model gives them (1 - p for good, p for
bad). Sums of cost × count are linear in the released cells, hence unbiased under noise. The table and ECE
work on projected counts; noise and small rows push the ECE up.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.discrimination import nonnegative, why_undefined
from fedcredit.evaluation.score_grid import ScoreGrid, bin_nodes, bin_pd, sigmoid

Floats = NDArray[np.float64]
#: Two-sided 95 % point of the normal law.
Z95 = 1.959963984540054
_PD_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """Predicted and observed share of bad records between two PDs.

    Parameters
    ----------
    pd_low, pd_high
        Bounds of the row; the first reaches down to 0 and the last up to 1.
    mean_pd
        Mean predicted PD.
    bad_rate
        Observed share of bad records, in [0, 1].
    low, high
        95 % interval of `bad_rate`: sampling and noise together.
    n_rows
        Estimated number of records.
    """

    pd_low: float
    pd_high: float
    mean_pd: float
    bad_rate: float
    low: float
    high: float
    n_rows: float


def brier_costs(grid: ScoreGrid) -> Floats:
    """Return the squared error of a good and a bad record per bin, shape (2, B)."""
    p = sigmoid(bin_nodes(grid))
    return _mean_costs(p, p**2, (1 - p) ** 2)


def log_loss_costs(grid: ScoreGrid) -> Floats:
    """Return the log loss (nats) of a good and a bad record per bin, PDs clipped at 1e-6, shape (2, B)."""
    p = np.clip(sigmoid(bin_nodes(grid)), _PD_FLOOR, 1 - _PD_FLOOR)
    return _mean_costs(p, -np.log1p(-p), -np.log(p))


def mean_cost(good: Floats, bad: Floats, costs: Floats) -> float | None:
    """Return the mean cost per record, or None if the counts have no positive total.

    Parameters
    ----------
    good, bad
        Counts per score bin, shape (B,); not clipped.
    costs
        Cost of a good and of a bad record per bin, shape (2, B).
    """
    total = float(good.sum() + bad.sum())
    if total <= 0:
        return None
    return float(((good * costs[0]).sum() + (bad * costs[1]).sum()) / total)


def brier(good: Floats, bad: Floats, grid: ScoreGrid) -> float | None:
    """Return the Brier score, in [0, 1], or None without records."""
    value = mean_cost(good, bad, brier_costs(grid))
    return None if value is None else min(1.0, max(0.0, value))


def log_loss(good: Floats, bad: Floats, grid: ScoreGrid) -> float | None:
    """Return the mean log loss in nats, at least 0, or None without records."""
    value = mean_cost(good, bad, log_loss_costs(grid))
    return None if value is None else max(0.0, value)


def in_the_large(good: Floats, bad: Floats, grid: ScoreGrid) -> float | None:
    """Return observed minus predicted mean PD (0 is ideal; above 0 the model is too optimistic)."""
    total = float(good.sum() + bad.sum())
    if total <= 0:
        return None
    return float((bad.sum() - ((good + bad) * bin_pd(grid)).sum()) / total)


def slope(good: Floats, bad: Floats, grid: ScoreGrid) -> float | None:
    """Return the calibration slope: the logistic regression of bad on the predicted logit.

    1 is ideal; below 1 the PDs are too extreme. The estimating equations are linear in the cells, so they are
    left unclipped and stay unbiased under noise; the steps towards their root are Newton's, with the
    curvature of the projected counts.

    Returns
    -------
    float or None
        None if a class is missing, one bin holds everything, the classes separate, or noise leaves no root.
    """
    if why_undefined(good, bad) is not None:
        return None
    pd, rows = bin_pd(grid), good + bad
    logits, weights = np.log(pd / (1 - pd)), nonnegative(rows)
    intercept, steepness = 0.0, 1.0
    for _ in range(200):
        p = sigmoid(intercept + steepness * logits)
        step = _newton_step(logits, weights * p * (1 - p), bad - rows * p)
        if step is None:
            return None
        intercept, steepness = intercept + step[0], steepness + step[1]
        if max(abs(step[0]), abs(step[1])) < 1e-9:
            return steepness
    return None


def calibration_table(
    good: Floats, bad: Floats, grid: ScoreGrid, noise_stddev: float = 0.0, max_rows: int = 10
) -> tuple[CalibrationRow, ...]:
    """Merge score bins into rows of about equal size and compare predicted with observed PD.

    Parameters
    ----------
    good, bad
        Counts per score bin, shape (B,).
    grid
        The bins.
    noise_stddev
        Standard deviation of the noise per cell, in records. A row holds at least five times the noise of its
        sum.
    max_rows
        Upper bound on the number of rows.

    Returns
    -------
    tuple of CalibrationRow
        Lowest PD first; empty without records.
    """
    sizes = nonnegative(good + bad)
    if sizes.sum() <= 0:
        return ()
    bounds = _row_bounds(sizes, noise_stddev, max_rows)
    return tuple(_calibration_row(bad, sizes, grid, noise_stddev, start, stop) for start, stop in pairwise(bounds))


def expected_calibration_error(rows: tuple[CalibrationRow, ...]) -> float | None:
    """Return the mean absolute gap of predicted and observed PD over the table, or None without rows."""
    total = sum(row.n_rows for row in rows)
    if total <= 0:
        return None
    return sum(row.n_rows * abs(row.bad_rate - row.mean_pd) for row in rows) / total


def _mean_costs(p: Floats, cost_of_good: Floats, cost_of_bad: Floats) -> Floats:
    good = ((1 - p) * cost_of_good).sum(axis=1) / (1 - p).sum(axis=1)
    bad = (p * cost_of_bad).sum(axis=1) / p.sum(axis=1)
    return np.stack([good, bad])


def _newton_step(logits: Floats, weight: Floats, residual: Floats) -> tuple[float, float] | None:
    """Return the step in intercept and slope, at most 1 in each, or None where the curvature vanishes."""
    h00, h01, h11 = weight.sum(), (weight * logits).sum(), (weight * logits**2).sum()
    determinant = h00 * h11 - h01**2
    if not determinant > 1e-9 * h00 * h11:
        return None
    r0, r1 = residual.sum(), (residual * logits).sum()
    step0, step1 = (h11 * r0 - h01 * r1) / determinant, (h00 * r1 - h01 * r0) / determinant
    shrink = 1.0 / max(1.0, abs(step0), abs(step1))
    return float(shrink * step0), float(shrink * step1)


def _row_bounds(sizes: Floats, noise_stddev: float, max_rows: int) -> list[int]:
    """Close a row once it holds its share and stands out of its noise; a small rest joins the last row."""
    bounds, held = [0], 0.0
    wanted = float(sizes.sum()) / max_rows
    for index, size in enumerate(sizes, start=1):
        held += float(size)
        if held >= max(wanted, 5 * noise_stddev * math.sqrt(2 * (index - bounds[-1]))):
            bounds.append(index)
            held = 0.0
    if bounds[-1] < len(sizes):
        if len(bounds) > 1:
            bounds.pop()
        bounds.append(len(sizes))
    return bounds


def _calibration_row(
    bad: Floats, sizes: Floats, grid: ScoreGrid, noise_stddev: float, start: int, stop: int
) -> CalibrationRow:
    part = slice(start, stop)
    n_rows = float(sizes[part].sum())
    bad_sum = float(bad[part].sum())
    bad_rate = min(1.0, max(0.0, bad_sum / n_rows)) if n_rows > 0 else 0.0
    half = Z95 * math.sqrt(_bad_rate_variance(bad_rate, n_rows, noise_stddev, stop - start))
    pd, edges = bin_pd(grid), sigmoid(np.asarray(grid.edges, dtype=np.float64) / grid.weight_scale)
    weights = sizes[part] if n_rows > 0 else np.ones(stop - start)
    return CalibrationRow(
        pd_low=float(edges[start - 1]) if start > 0 else 0.0,
        pd_high=float(edges[stop - 1]) if stop <= len(edges) else 1.0,
        mean_pd=float((pd[part] * weights).sum() / weights.sum()),
        bad_rate=bad_rate,
        low=max(0.0, bad_rate - half),
        high=min(1.0, bad_rate + half),
        n_rows=n_rows,
    )


def _bad_rate_variance(rate: float, n_rows: float, noise_stddev: float, n_bins: int) -> float:
    # Two good and two bad records are added (Agresti and Coull 1998): a row without bad records keeps an
    # interval.
    n_added = n_rows + 4
    smoothed = (rate * n_rows + 2) / n_added
    noise = noise_stddev**2 * n_bins * (rate**2 + (1 - rate) ** 2)
    return smoothed * (1 - smoothed) / n_added + noise / n_added**2
