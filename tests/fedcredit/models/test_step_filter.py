import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.models.step_filter import gradient_filter, prior_covariance, product, smooth, solve

SEEDS = st.integers(0, 10**6)
SIZES = st.integers(1, 12)


@given(seed=SEEDS, n=SIZES)
def test_solve_and_product_equal_numpy_s(seed, n):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n))
    matrix, right = root @ root.T + n * np.eye(n), rng.standard_normal((n, 3))
    np.testing.assert_allclose(solve(matrix, right), np.linalg.solve(matrix, right), atol=1e-9)
    np.testing.assert_allclose(product(matrix, right[:, 0]), matrix @ right[:, 0], atol=1e-9)


def test_covariance_joins_neighbours_and_nothing_else():
    found = prior_covariance(2.0, 4, 3)
    np.testing.assert_allclose(found[0], [2.0, 2 * 0.85, 2 * 0.85**2, 0.0])
    np.testing.assert_allclose(found[3], [0, 0, 0, 2.0])
    np.testing.assert_allclose(prior_covariance(1.0, 3, 0), np.eye(3))


@given(seed=SEEDS, n=st.integers(2, 10))
def test_without_noise_the_filter_is_the_centred_newton_step(seed, n):
    information = np.random.default_rng(seed).uniform(10, 100, n)
    found = gradient_filter(information, np.full(n, 1e-9), prior_covariance(1.0, n, n))
    share = information / information.sum()
    centre = np.eye(n) - share
    np.testing.assert_allclose(found, centre @ np.diag(1 / information) @ centre.T, atol=1e-6)


@given(seed=SEEDS, n=st.integers(2, 10))
def test_noise_shrinks_steps_and_the_constant_is_left_to_the_intercepts(seed, n):
    information = np.random.default_rng(seed).uniform(10, 100, n)
    prior = prior_covariance(0.1, n, n)
    quiet = gradient_filter(information, np.full(n, 1.0), prior)
    loud = gradient_filter(information, np.full(n, 1e8), prior)
    assert np.abs(loud).max() < 0.01 * np.abs(quiet).max()
    np.testing.assert_allclose(product(quiet, information), 0, atol=1e-9)
    np.testing.assert_allclose(product(quiet.T, information), 0, atol=1e-9)


def test_smoothing_keeps_the_sure_and_borrows_for_the_unsure():
    prior = prior_covariance(1.0, 3, 3)
    found = smooth(np.array([1.0, -5.0, 1.0]), np.array([1e-9, 1e9, 1e-9]), prior)
    np.testing.assert_allclose(found[[0, 2]], 1.0, atol=1e-6)
    assert found[1] > 0.9
