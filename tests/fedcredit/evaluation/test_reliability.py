"""Calibration figures with intervals: the slope by its equation, the Brier score in parts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedcredit.evaluation.calibration import brier, calibration_table, in_the_large, slope
from fedcredit.evaluation.reliability import bad_share, brier_parts, gap, mean_pd, slope_figure
from fedcredit.evaluation.score_grid import range_around, score_bins

Draw = Callable[..., Any]
GRID = score_bins(20, *range_around(0.22), 1024)


def test_figures_are_the_estimates_that_evaluation_releases(draw: Draw) -> None:
    good, bad = draw(np.random.default_rng(1), 6_000).counts(GRID)[0]
    assert slope_figure(good, bad, GRID, 3.0).value == slope(good, bad, GRID)
    assert gap(good, bad, GRID, 3.0).value == pytest.approx(in_the_large(good, bad, GRID))
    assert bad_share(good, bad, 3.0).value == bad.sum() / 6_000
    assert gap(good, bad, GRID, 0.0).value == pytest.approx(
        bad_share(good, bad, 0.0).value - mean_pd(good, bad, GRID, 0.0).value
    )


def test_the_slope_is_skewed_by_noise_and_so_is_its_interval(draw: Draw) -> None:
    good, bad = draw(np.random.default_rng(2), 6_000).counts(GRID)[0]
    exact, noisy = slope_figure(good, bad, GRID, 0.0), slope_figure(good, bad, GRID, 15.0)
    assert exact.high - exact.value == pytest.approx(exact.value - exact.low, rel=0.15)
    assert noisy.high - noisy.value > 1.2 * (noisy.value - noisy.low)
    assert exact.high - exact.value == pytest.approx(1.96 * exact.sampling_stddev, rel=0.15)


@pytest.mark.parametrize("noise_stddev", [60.0, 1000.0])
def test_a_slope_that_noise_leaves_open_is_not_stated(draw: Draw, noise_stddev: float) -> None:
    counts = draw(np.random.default_rng(3), 600).counts(GRID)[0]
    assert slope_figure(*counts, GRID, noise_stddev).value is None
    assert slope_figure(*counts, GRID, noise_stddev).why


def test_the_parts_of_the_brier_score_add_up(draw: Draw) -> None:
    good, bad = draw(np.random.default_rng(4), 60_000).counts(GRID)[0]
    parts = brier_parts(calibration_table(good, bad, GRID, 0.0, max_rows=100))
    whole = parts.reliability - parts.resolution + parts.uncertainty
    assert whole == pytest.approx(brier(good, bad, GRID), abs=1e-3)
    assert abs(parts.reliability) < 1e-4  # drawn from the scores' own PDs
    assert parts.uncertainty == pytest.approx(0.25 * 0.75, abs=0.03)
    assert brier_parts(()) is None
