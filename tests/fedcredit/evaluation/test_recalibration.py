"""Recalibration finds a shift that was put in, to within what it says of itself, and does nothing under heavy noise."""

import numpy as np
import pytest

from fedcredit.errors import ConfigError, DataError
from fedcredit.evaluation.recalibration import UNIT, Recalibration, recalibrate
from fedcredit.evaluation.score_grid import bin_of, score_bins

GRID = score_bins(50, -5.0, 2.0, UNIT)
IDENTITY = Recalibration(0, UNIT, 0.0, 0.0)


def histogram(intercept: float, slope: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a portfolio whose true log-odds are ``intercept + slope · score``."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1.8, 0.9, n)
    bad = generator.random(n) < 1 / (1 + np.exp(-(intercept + slope * logits)))
    bins = bin_of(GRID, np.rint(logits * UNIT).astype(np.int64))
    good, bads = (np.bincount(bins[bad == label], minlength=GRID.n_bins).astype(float) for label in (0, 1))
    return good, bads


@pytest.mark.parametrize("noise", [0.0, 8.0, 30.0])
@pytest.mark.parametrize("truth", [(0.0, 1.0), (0.5, 1.0), (-0.6, 0.7), (0.3, 1.3)])
def test_a_known_shift_is_found_within_its_interval(truth, noise):
    intercept, slope = truth
    missed = []
    for seed in range(8):
        good, bad = histogram(intercept, slope, 20_000, seed)
        generator = np.random.default_rng(1000 + seed)
        good, bad = (counts + generator.normal(0, noise, counts.shape) for counts in (good, bad))
        found = recalibrate(good, bad, GRID, noise)
        missed.append(abs(found.slope / UNIT - slope) / found.slope_stddev)
        missed.append(abs(found.intercept / UNIT - intercept) / found.intercept_stddev)
    assert np.mean(np.square(missed)) < 2.2  # of 16 errors in units of their own standard deviation
    assert max(missed) < 4


def test_the_more_noise_the_wider_the_interval():
    good, bad = histogram(0.5, 1.0, 20_000, 1)
    widths = [recalibrate(good, bad, GRID, noise).slope_stddev for noise in (0.0, 5.0, 20.0, 100.0)]
    assert widths == sorted(widths)
    assert widths[0] < 0.05


def test_heavy_noise_leaves_the_scores_alone():
    good, bad = histogram(1.0, 0.5, 2_000, 2)
    generator = np.random.default_rng(3)
    good, bad = (counts + generator.normal(0, 1e5, counts.shape) for counts in (good, bad))
    found = recalibrate(good, bad, GRID, 1e5)
    assert abs(found.slope - UNIT) < 0.1 * UNIT
    assert abs(found.intercept) < 0.25 * UNIT


def test_without_records_nothing_changes():
    empty = np.zeros(GRID.n_bins)
    found = recalibrate(empty, empty, GRID, 0.0)
    assert (found.intercept, found.slope) == (IDENTITY.intercept, IDENTITY.slope)


def test_the_map_takes_integers_to_integers():
    margins = np.array([-3000, -1, 0, 1, 2047])
    assert IDENTITY.apply(margins).tolist() == margins.tolist()
    moved = Recalibration(512, 2048, 0.0, 0.0).apply(margins)
    assert moved.dtype == np.int64
    assert moved.tolist() == [-5488, 510, 512, 514, 4606]


def test_counts_that_do_not_fit_are_refused():
    counts = np.zeros(GRID.n_bins)
    with pytest.raises(DataError, match="one count for each of 50 bins"):
        recalibrate(counts[1:], counts, GRID)
    with pytest.raises(DataError, match="not finite"):
        recalibrate(np.full(GRID.n_bins, np.nan), counts, GRID)
    with pytest.raises(ConfigError, match="noise_stddev"):
        recalibrate(counts, counts, GRID, -1.0)
