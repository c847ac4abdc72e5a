"""From one released score histogram to the figures that a report shows.

A figure that cannot be computed is None and `unavailable` says why, for people: "no bad cases". No NaN comes
out of here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, DataError
from fedcredit.evaluation.calibration import (
    CalibrationRow,
    calibration_table,
    expected_calibration_error,
    in_the_large,
    log_loss,
    slope,
)
from fedcredit.evaluation.discrimination import gini, why_undefined
from fedcredit.evaluation.intervals import auc_estimate, brier_estimate, ks_estimate
from fedcredit.evaluation.score_grid import ScoreGrid


@dataclass(frozen=True, slots=True)
class FederatedMetrics:
    """Released estimates, each with a 95 % interval of sampling and noise together where one is given.

    Parameters
    ----------
    auc, auc_low, auc_high
        Area under the ROC curve and its interval.
    auc_sampling_stddev, auc_noise_stddev
        The two parts of its uncertainty.
    gini
        2 AUC - 1.
    ks, ks_low, ks_high
        Kolmogorov-Smirnov distance and its interval.
    brier, brier_low, brier_high
        Brier score and its interval.
    log_loss
        Mean log loss in nats.
    calibration
        Predicted against observed PD, lowest PD first.
    in_the_large, slope, ece
        Observed minus predicted mean PD; calibration slope; expected calibration error over the table.
    base_rate
        Estimated share of bad records, in [0, 1].
    n_rows, n_bad
        Estimated numbers of records and of bad records, as released (noise can make them negative).
    unavailable
        Why figures are None, or None if none of the ranking figures is.
    """

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    auc_sampling_stddev: float | None
    auc_noise_stddev: float | None
    gini: float | None
    ks: float | None
    ks_low: float | None
    ks_high: float | None
    brier: float | None
    brier_low: float | None
    brier_high: float | None
    log_loss: float | None
    calibration: tuple[CalibrationRow, ...]
    in_the_large: float | None
    slope: float | None
    ece: float | None
    base_rate: float | None
    n_rows: float
    n_bad: float
    unavailable: str | None


def evaluate_release(
    counts: NDArray[np.float64], grid: ScoreGrid, noise_stddev: float | Sequence[float] = 0.0
) -> FederatedMetrics:
    """Compute every figure over all groups of one grouping; pass `counts[[g]]` for group g alone.

    Parameters
    ----------
    counts
        Released counts in records, shape (n_groups, 2, B): good and bad per score bin; cells may be negative.
    grid
        The public score bins.
    noise_stddev
        Standard deviation of the summed noise per released cell, in records: one number, or one per group
        where groups have different numbers of owners. 0 without privacy.

    Raises
    ------
    DataError
        If the counts are not finite or do not fit the grid.
    ConfigError
        If `noise_stddev` is negative or not finite.
    """
    _check(counts, grid, noise_stddev)
    good, bad = counts.sum(axis=0).astype(np.float64)
    noise = float(np.linalg.norm(np.broadcast_to(noise_stddev, counts.shape[0])))
    n_rows, n_bad = float(good.sum() + bad.sum()), float(bad.sum())
    auc, ks, brier = (
        auc_estimate(good, bad, noise),
        ks_estimate(good, bad, noise),
        brier_estimate(good, bad, grid, noise),
    )
    ranked = why_undefined(good, bad, noise)
    enough = brier is not None
    table = calibration_table(good, bad, grid, noise) if enough else ()
    return FederatedMetrics(
        auc=auc.value if auc else None,
        auc_low=auc.low if auc else None,
        auc_high=auc.high if auc else None,
        auc_sampling_stddev=auc.sampling_stddev if auc else None,
        auc_noise_stddev=auc.noise_stddev if auc else None,
        gini=gini(auc.value) if auc else None,
        ks=ks.value if ks else None,
        ks_low=ks.low if ks else None,
        ks_high=ks.high if ks else None,
        brier=brier.value if brier else None,
        brier_low=brier.low if brier else None,
        brier_high=brier.high if brier else None,
        log_loss=log_loss(good, bad, grid) if enough else None,
        calibration=table,
        in_the_large=in_the_large(good, bad, grid) if enough else None,
        slope=slope(good, bad, grid) if ranked is None else None,
        ece=expected_calibration_error(table),
        base_rate=min(1.0, max(0.0, n_bad / n_rows)) if enough else None,
        n_rows=n_rows,
        n_bad=n_bad,
        unavailable=ranked if enough else "no records" if n_rows <= 0 else "too few records for the noise",
    )


def _check(counts: NDArray[np.float64], grid: ScoreGrid, noise_stddev: float | Sequence[float]) -> None:
    if counts.ndim != 3 or counts.shape[0] < 1 or counts.shape[1:] != (2, grid.n_bins):
        raise DataError(f"A score histogram needs shape (n_groups, 2, {grid.n_bins}), got {counts.shape}.")
    if not np.isfinite(counts).all():
        raise DataError("A score histogram holds a value that is not finite; it was not decoded from a release.")
    stddev = np.asarray(noise_stddev, dtype=np.float64)
    if stddev.shape not in {(), (counts.shape[0],)}:
        raise ConfigError(
            f"noise_stddev needs one number or one per group, got {stddev.size} for {len(counts)} groups."
        )
    if not (np.isfinite(stddev).all() and (stddev >= 0).all()):
        raise ConfigError(f"noise_stddev must be finite and >= 0, got {noise_stddev}.")
