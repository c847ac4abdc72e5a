"""Regression on counts: logistic without noise, unbiased under it, and its prior where nothing is left."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fedcredit.count_regression import CellCounts, fit, residuals

N_CELLS = 60
TRUTH = np.array([-1.5, 0.8, 0.4])
WEAK = (np.zeros(3), np.eye(3) * 1e-6)


def cells(n: int, seed: int, noise: float = 0.0) -> CellCounts:
    generator = np.random.default_rng(seed)
    design = np.column_stack([np.ones(N_CELLS), generator.normal(size=(N_CELLS, 2))])
    expected = np.full(N_CELLS, n / N_CELLS)
    rows = generator.poisson(expected)
    bad = generator.binomial(rows, 1 / (1 + np.exp(-design @ TRUTH)))
    good, bads = (counts + generator.normal(0, noise, N_CELLS) for counts in (rows - bad, bad))
    actual = expected if noise else rows.astype(float)
    return CellCounts(design[:, None, :], np.ones((N_CELLS, 1)), good, bads, actual, noise**2)


def test_without_noise_it_is_a_logistic_regression():
    given = cells(20_000, 0)
    design = np.tile(given.design[:, 0, 1:], (2, 1))
    label = np.repeat([0, 1], N_CELLS)
    oracle = LogisticRegression(C=1e9, tol=1e-12, max_iter=10_000)
    oracle.fit(design, label, sample_weight=np.concatenate([given.good, given.bad]))
    assert fit(given, *WEAK).values == pytest.approx([oracle.intercept_[0], *oracle.coef_[0]], abs=1e-4)


def test_noise_moves_it_without_bias_and_by_what_it_says():
    found = [fit(cells(20_000, seed, noise=15.0), *WEAK) for seed in range(60)]
    errors = np.array([one.values - TRUTH for one in found])
    stated = np.mean([one.stddev for one in found], axis=0)
    assert np.all(np.abs(errors.mean(axis=0)) < 3.5 * stated / np.sqrt(60))
    assert np.all(np.abs(errors.std(axis=0) / stated - 1) < 0.35)
    assert np.all(stated > 1.3 * fit(cells(20_000, 0), *WEAK).stddev)


def test_a_wide_cell_is_not_taken_for_its_middle():
    spread = np.array([-2.0, 0.0, 2.0])
    p = (1 / (1 + np.exp(-(-2.0 + 1.0 * (np.array([-1.0, 0.0, 1.0])[:, None] + spread))))).mean(axis=1)
    n = np.full(3, 1e6)
    design = np.stack([np.ones((3, 3)), np.array([-1.0, 0.0, 1.0])[:, None] + spread], axis=-1)
    prior = np.zeros(2), np.eye(2) * 1e-6
    known = fit(CellCounts(design, np.full((3, 3), 1 / 3), n * (1 - p), n * p, n, 0.0), *prior)
    taken = fit(CellCounts(design[:, 1:2], np.ones((3, 1)), n * (1 - p), n * p, n, 0.0), *prior)
    assert known.values == pytest.approx([-2.0, 1.0], abs=1e-3)
    assert abs(taken.values[1] - 1.0) > 0.1


def test_where_nothing_is_known_the_prior_stands():
    given = cells(2_000, 1, noise=1e6)
    prior = np.array([0.2, 1.0, 0.0])
    found = fit(given, prior, np.eye(3) * 4.0)
    assert found.values == pytest.approx(prior, abs=0.05)
    assert found.stddev == pytest.approx(np.full(3, 0.5), rel=0.01)


def test_empty_cells_without_noise_divide_nothing_by_zero():
    given = cells(0, 2)
    assert np.all(np.isfinite(residuals(given, TRUTH).variance))
    assert fit(given, np.zeros(3), np.eye(3)).values == pytest.approx(np.zeros(3))
