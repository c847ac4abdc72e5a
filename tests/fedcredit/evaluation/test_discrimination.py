from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from fedcredit.evaluation.discrimination import (
    auc,
    gains,
    gini,
    ks,
    nonnegative,
    roc_points,
    why_undefined,
)
from fedcredit.evaluation.score_grid import DEFAULT_RANGE, bin_of, score_bins

Draw = Callable[..., Any]
Floats = NDArray[np.float64]

cells = st.lists(st.floats(-50, 200), min_size=2, max_size=40).map(np.array)


@pytest.mark.parametrize(("centre", "spread"), [(-1.58, 1.17), (-4.0, 1.6), (0.0, 1.0)])
def test_a_hundred_bins_agree_with_pooled_rows(draw: Draw, centre: float, spread: float) -> None:
    rows = draw(np.random.default_rng(7), 60_000, centre, spread)
    good, bad = rows.counts(score_bins(100, *DEFAULT_RANGE, 1024))[0]
    false_positive, true_positive, _ = roc_curve(rows.bad, rows.margins)
    assert auc(good, bad) == pytest.approx(roc_auc_score(rows.bad, rows.margins), abs=0.001)
    assert ks(good, bad) == pytest.approx((true_positive - false_positive).max(), abs=0.005)


def test_auc_of_binned_scores_is_exact(draw: Draw) -> None:
    rows = draw(np.random.default_rng(8), 3_000)
    grid = score_bins(12, -4.0, 2.0, 1024)
    good, bad = rows.counts(grid)[0]
    assert auc(good, bad) == pytest.approx(roc_auc_score(rows.bad, bin_of(grid, rows.margins)), abs=1e-12)
    false_positive, true_positive, _ = roc_curve(rows.bad, bin_of(grid, rows.margins), drop_intermediate=False)
    curve = roc_points(good, bad)
    assert curve.true_positive_rate == pytest.approx(true_positive)
    assert curve.false_positive_rate == pytest.approx(false_positive)


def test_auc_is_unbiased_under_noise_and_projected_cells_are_not(draw: Draw) -> None:
    rows = draw(np.random.default_rng(9), 6_000)
    good, bad = rows.counts(score_bins(20, *DEFAULT_RANGE, 1024))[0]
    rng, n_draws, noise_stddev = np.random.default_rng(10), 1_000, 15.0
    noisy = [
        (good + noise_stddev * rng.standard_normal(20), bad + noise_stddev * rng.standard_normal(20))
        for _ in range(n_draws)
    ]
    raw = np.array([auc(g, b) for g, b in noisy])
    projected = np.array([auc(nonnegative(g), nonnegative(b)) for g, b in noisy])
    standard_error = raw.std() / np.sqrt(n_draws)
    assert abs(raw.mean() - auc(good, bad)) < 3.5 * standard_error
    assert projected.mean() < auc(good, bad) - 5 * standard_error


@given(cells)
def test_projection_keeps_the_total_and_has_no_negative_cell(counts: Floats) -> None:
    projected = nonnegative(counts)
    assert (projected >= 0).all()
    assert projected.sum() == pytest.approx(max(counts.sum(), 0.0), abs=1e-9)
    assert nonnegative(projected) == pytest.approx(projected)


@given(cells)
def test_projection_is_the_nearest_such_histogram(counts: Floats) -> None:
    # Optimality: moving mass between any two cells of the projection must not bring it nearer.
    if counts.sum() <= 1e-6:
        return
    projected = nonnegative(counts)
    shift = counts - projected
    held = projected > 1e-9
    assert shift[held] == pytest.approx(np.full(held.sum(), shift[held][0]), abs=1e-7)
    assert (shift[~held] <= shift[held][0] + 1e-7).all()


@given(cells, st.integers(0, 2**32 - 1))
def test_curves_rise_and_figures_stay_in_range_whatever_the_noise(good: Floats, seed: int) -> None:
    bad = np.random.default_rng(seed).normal(20, 60, len(good))
    curve = roc_points(good, bad)
    if curve is None:
        assert why_undefined(good, bad) in {"no bad cases", "no good cases"}
        assert auc(good, bad) is None
        assert ks(good, bad) is None
        assert gains(good, bad) == ()
        return
    for rate in (curve.false_positive_rate, curve.true_positive_rate):
        assert (np.diff(rate) >= 0).all()
        assert rate[[0, -1]] == pytest.approx([0, 1])
    assert 0 <= auc(good, bad) <= 1
    assert 0 <= ks(good, bad) <= 1


def test_reasons() -> None:
    some = np.full(4, 25.0)
    assert why_undefined(some, some) is None
    assert why_undefined(some, np.zeros(4)) == "no bad cases"
    assert why_undefined(np.array([5.0, -6.0]), np.array([1.0, 1.0])) == "no good cases"
    assert why_undefined(some, some, noise_stddev=30.0) == "too few bad cases for the noise"
    assert why_undefined(some, some, noise_stddev=10.0) is None


def test_perfect_and_useless_scores() -> None:
    assert auc(np.array([10.0, 0.0]), np.array([0.0, 5.0])) == 1
    assert auc(np.array([10.0, 10.0]), np.array([3.0, 3.0])) == 0.5
    assert gini(0.75) == 0.5
    assert gini(None) is None


def test_gains_by_decile() -> None:
    # Ten bins of ten records; all ten bad records in the riskiest two bins.
    bad = np.array([0.0] * 8 + [3.0, 7.0])
    rows = gains(10 - bad, bad)
    assert [row.captured_bad for row in rows[:3]] == pytest.approx([0.7, 1.0, 1.0])
    assert [row.lift for row in rows] == pytest.approx([7, 5, 10 / 3, 2.5, 2, 10 / 6, 10 / 7, 1.25, 10 / 9, 1])
