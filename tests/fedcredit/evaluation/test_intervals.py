from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from fedcredit.evaluation.calibration import brier
from fedcredit.evaluation.discrimination import auc, ks
from fedcredit.evaluation.intervals import Estimate, auc_estimate, brier_estimate, ks_estimate
from fedcredit.evaluation.score_grid import range_around, score_bins

Draw = Callable[..., Any]
Floats = NDArray[np.float64]

GRID = score_bins(20, *range_around(0.22), 1024)
NOISE_STDDEV = 15.0


def estimates(good: Floats, bad: Floats, noise_stddev: float) -> tuple[Estimate | None, ...]:
    return (
        auc_estimate(good, bad, noise_stddev),
        ks_estimate(good, bad, noise_stddev),
        brier_estimate(good, bad, GRID, noise_stddev),
    )


@pytest.fixture(scope="module")
def truth(draw: Draw) -> tuple[float, float, float]:
    rows = draw(np.random.default_rng(100), 1_000_000)
    false_positive, true_positive, _ = roc_curve(rows.bad, rows.margins)
    return (
        roc_auc_score(rows.bad, rows.margins),
        float((true_positive - false_positive).max()),
        float(np.mean((rows.pd - rows.bad) ** 2)),
    )


@pytest.mark.statistical
@pytest.mark.parametrize("noise_stddev", [0.0, 8.0, 25.0])
def test_intervals_cover_the_population_figure(
    draw: Draw, truth: tuple[float, float, float], noise_stddev: float
) -> None:
    rng, n_draws = np.random.default_rng(101), 400
    hits = np.zeros(3)
    for _ in range(n_draws):
        good, bad = draw(rng, 6_000).counts(GRID)[0] + noise_stddev * rng.standard_normal((2, 20))
        found = estimates(good, bad, noise_stddev)
        hits += [e.low <= value <= e.high for e, value in zip(found, truth, strict=True)]
    auc_cover, ks_cover, brier_cover = hits / n_draws
    assert 0.90 <= auc_cover <= 0.99
    assert 0.90 <= brier_cover <= 0.99
    assert ks_cover >= 0.90  # its noise part is that of the unprojected cells: too wide rather than too narrow


@pytest.mark.statistical
def test_noise_part_is_the_spread_over_the_noise(draw: Draw) -> None:
    # ±12 % around the observed spread: a noise of 0.7 or 1.3 times the stated one is rejected.
    counts = draw(np.random.default_rng(102), 6_000).counts(GRID)[0]
    rng = np.random.default_rng(103)
    noisy = counts + NOISE_STDDEV * rng.standard_normal((1_500, *counts.shape))
    spread = np.std([[auc(g, b), brier(g, b, GRID)] for g, b in noisy], axis=0)
    stated = auc_estimate(*counts, NOISE_STDDEV), brier_estimate(*counts, GRID, NOISE_STDDEV)
    assert [e.noise_stddev for e in stated] == pytest.approx(spread, rel=0.12)


@pytest.mark.statistical
def test_sampling_part_is_the_spread_over_samples(draw: Draw) -> None:
    rng = np.random.default_rng(104)
    samples = [draw(rng, 4_000).counts(GRID)[0] for _ in range(800)]
    spread = np.std([[auc(g, b), ks(g, b), brier(g, b, GRID)] for g, b in samples], axis=0)
    stated = estimates(*samples[0], 0.0)
    assert [e.sampling_stddev for e in stated] == pytest.approx(spread, rel=0.15)
    assert [e.noise_stddev for e in stated] == [0, 0, 0]


def test_parts_add_in_square_and_ends_stay_in_the_unit_interval() -> None:
    estimate = Estimate(0.97, 0.03, 0.04)
    assert estimate.stddev == pytest.approx(0.05)
    assert estimate.low == pytest.approx(0.97 - 1.96 * 0.05, abs=1e-4)
    assert estimate.high == 1


def test_nothing_is_estimated_below_the_noise() -> None:
    few = np.full(20, 2.0)
    assert estimates(few, few, 0.0)[0] is not None
    assert estimates(few, few, 25.0) == (None, None, None)
    assert estimates(np.zeros(20), np.zeros(20), 0.0) == (None, None, None)
