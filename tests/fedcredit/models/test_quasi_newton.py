import numpy as np
import pytest

from fedcredit.models.quasi_newton import direction, extend


def test_reaches_the_minimum_of_a_quadratic():
    rng = np.random.default_rng(1)
    root = rng.standard_normal((30, 6))
    matrix, optimum = root.T @ root, rng.standard_normal(6)
    at, last, pairs = np.zeros(6), None, ()
    for _ in range(15):
        gradient = matrix @ (at - optimum)
        if last is not None:
            pairs = extend(pairs, at - last[0], gradient - last[1])
        last = (at, gradient)
        at = at - direction(gradient, pairs, 1 / np.diag(matrix), 0.2)
    np.testing.assert_allclose(at, optimum, atol=1e-6)


def test_a_step_without_positive_curvature_is_dropped():
    step = np.ones(2)
    assert extend((), step, -step) == ()
    assert extend((), np.zeros(2), step) == ()
    assert len(extend((), step, step)) == 1


def test_frozen_coordinates_do_not_move():
    found = direction(np.array([1.0, 0.0]), (), np.array([0.5, 0.0]), 1.0)
    assert found == pytest.approx([0.5, 0.0])
