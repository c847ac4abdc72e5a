"""Recalibration: intercept and slope are the logistic regression's, with intervals that cover."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fedcredit.evaluation.score_grid import bin_pd
from fedcredit.monitoring.recalibration import recalibration
from tests.fedcredit.monitoring import portfolios


def fitted(counts, noise=0.0):
    return recalibration(counts[0], counts[1], portfolios.GRID, noise)


def test_it_is_the_logistic_regression_on_the_bins():
    counts = portfolios.scores(np.random.default_rng(2), 20_000, 0.0, slope=0.7, offset=0.3)
    pd = bin_pd(portfolios.GRID)
    logits = np.tile(np.log(pd / (1 - pd)), 2)[:, None]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    oracle.fit(logits, np.repeat([0, 1], 20), sample_weight=counts.ravel())
    found = fitted(counts)
    assert found.slope.value == pytest.approx(oracle.coef_[0, 0], abs=1e-4)
    assert found.intercept.value == pytest.approx(oracle.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("noise", [0.0, 15.0])
def test_intervals_cover(noise):
    """The truth to the bins' resolution is what a very large sample gives."""
    generator = np.random.default_rng(3)
    truth = fitted(portfolios.scores(generator, 3_000_000, 0.0, slope=0.8, offset=-0.2))
    inside = []
    for _ in range(600):
        found = fitted(portfolios.scores(generator, 8_000, noise, slope=0.8, offset=-0.2), noise)
        inside.append(
            [
                found.slope.low <= truth.slope.value <= found.slope.high,
                found.intercept.low <= truth.intercept.value <= found.intercept.high,
            ]
        )
    assert (np.mean(inside, axis=0) >= 0.92).all()


def test_what_cannot_be_fitted_says_why():
    one_class = np.stack([np.full(20, 100.0), np.zeros(20)])
    found = fitted(one_class)
    assert found.slope.value is None
    assert found.intercept.value is None
    assert found.slope.why
