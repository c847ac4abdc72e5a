from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as exact_log_loss

from fedcredit.evaluation.calibration import (
    brier,
    calibration_table,
    expected_calibration_error,
    in_the_large,
    log_loss,
    slope,
)
from fedcredit.evaluation.score_grid import DEFAULT_RANGE, score_bins

Draw = Callable[..., Any]
Floats = NDArray[np.float64]

GRID = score_bins(100, *DEFAULT_RANGE, 1024)


@pytest.mark.parametrize("n_bins", [20, 100])
@pytest.mark.parametrize(("centre", "spread"), [(-1.58, 1.17), (-4.0, 1.6)])
def test_losses_agree_with_pooled_rows(draw: Draw, n_bins: int, centre: float, spread: float) -> None:
    rows = draw(np.random.default_rng(3), 60_000, centre, spread)
    grid = score_bins(n_bins, *DEFAULT_RANGE, 1024)
    good, bad = rows.counts(grid)[0]
    assert brier(good, bad, grid) == pytest.approx(brier_score_loss(rows.bad, rows.pd), abs=0.0008)
    assert log_loss(good, bad, grid) == pytest.approx(exact_log_loss(rows.bad, rows.pd), abs=0.003)


def test_slope_and_offset_of_a_distorted_model_are_found(draw: Draw) -> None:
    rows = draw(np.random.default_rng(4), 60_000)
    doubled = type(rows)(margins=rows.margins * 3 // 2 + 512, bad=rows.bad)
    good, bad = doubled.counts(GRID)[0]
    fit = LogisticRegression(C=np.inf, tol=1e-8).fit(doubled.margins[:, None] / 1024, rows.bad)
    assert slope(good, bad, GRID) == pytest.approx(fit.coef_[0, 0], abs=0.015)
    assert in_the_large(good, bad, GRID) == pytest.approx(rows.bad.mean() - doubled.pd.mean(), abs=0.002)


def test_table_adds_up_and_finds_no_gap_in_a_calibrated_model(draw: Draw) -> None:
    rows = draw(np.random.default_rng(5), 60_000)
    good, bad = rows.counts(GRID)[0]
    table = calibration_table(good, bad, GRID)
    assert 8 <= len(table) <= 10
    assert (table[0].pd_low, table[-1].pd_high) == (0, 1)
    assert [row.pd_high for row in table[:-1]] == [row.pd_low for row in table[1:]]
    assert all(row.pd_low < row.mean_pd < row.pd_high for row in table)
    assert sum(row.n_rows for row in table) == pytest.approx(60_000)
    assert sum(row.bad_rate * row.n_rows for row in table) == pytest.approx(bad.sum())
    assert sum(row.low <= row.mean_pd <= row.high for row in table) >= len(table) - 1
    assert expected_calibration_error(table) < 0.01


def test_a_shifted_model_shows_its_gap(draw: Draw) -> None:
    rows = draw(np.random.default_rng(6), 60_000)
    shifted = type(rows)(margins=rows.margins + 1024, bad=rows.bad)
    good, bad = shifted.counts(GRID)[0]
    gap = shifted.pd.mean() - rows.bad.mean()
    assert gap > 0.1
    table = calibration_table(good, bad, GRID)
    assert expected_calibration_error(table) == pytest.approx(gap, abs=0.005)
    assert not any(row.low <= row.mean_pd <= row.high for row in table[2:])


def test_noise_merges_rows_and_widens_them(draw: Draw) -> None:
    rows = draw(np.random.default_rng(11), 6_000)
    grid = score_bins(20, *DEFAULT_RANGE, 1024)
    good, bad = rows.counts(grid)[0]
    plain, noisy = calibration_table(good, bad, grid), calibration_table(good, bad, grid, noise_stddev=100.0)
    assert len(noisy) < len(plain)
    assert noisy[0].high - noisy[0].low > plain[0].high - plain[0].low


def test_losses_and_slope_are_unbiased_under_noise(draw: Draw) -> None:
    rows = draw(np.random.default_rng(12), 20_000)
    grid = score_bins(20, *DEFAULT_RANGE, 1024)
    counts = rows.counts(grid)[0]
    rng = np.random.default_rng(13)
    noisy = counts + 15.0 * rng.standard_normal((400, *counts.shape))
    for figure in (brier, log_loss, slope):
        values = np.array([figure(good, bad, grid) for good, bad in noisy])
        # 0.01 allows for the slope's second-order bias; projected counts would put it .05 too low.
        assert abs(values.mean() - figure(*counts, grid)) < 3.5 * values.std() / 20 + 0.01 * (figure is slope)


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((2, 100)),
        np.stack([np.full(100, -2.0), np.ones(100)]),
    ],
)
def test_without_records_nothing_is_computed(counts: Floats) -> None:
    good, bad = counts
    assert brier(good, bad, GRID) is None
    assert log_loss(good, bad, GRID) is None
    assert in_the_large(good, bad, GRID) is None
    assert slope(good, bad, GRID) is None
    assert calibration_table(good, bad, GRID) == ()
    assert expected_calibration_error(()) is None


def test_slope_of_one_bin_or_separated_classes_is_none() -> None:
    one = np.zeros(100)
    one[40] = 30.0
    assert slope(one, one, GRID) is None
    low, high = np.zeros(100), np.zeros(100)
    low[:30], high[70:] = 5.0, 5.0
    assert slope(low, high, GRID) is None


def test_all_records_in_one_bin_make_one_row() -> None:
    one = np.zeros(100)
    one[40] = 30.0
    (row,) = calibration_table(one, one, GRID)
    assert row.bad_rate == 0.5
    assert row.n_rows == 60
