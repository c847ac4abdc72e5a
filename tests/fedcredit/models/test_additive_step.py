import numpy as np
import pytest

from fedcredit.models.additive_network import Inputs, Network, initial, jacobian
from fedcredit.models.additive_step import newton_step

SHARE = np.array([0.3, 0.2, 0.2, 0.1, 0.2])
WANTED = np.array([0.2, -0.1, 0.3, 0.0, -0.4])


def inputs(start=(0.1, 0.4, -0.3, 0.2, 0.6)) -> Inputs:
    return Inputs(
        start=np.array(start),
        position=np.array([-0.75, -0.25, 0.25, 0.75, 0.0]),
        ordered=np.array([1.0, 1.0, 1.0, 1.0, 0.0]),
        own=(4,),
        share=SHARE,
        direction=0,
    )


def network(one: Inputs, heights=(0.3, -0.2)) -> Network:
    begun = initial(one, 2)
    return Network(begun.gain, begun.slopes, begun.knots, np.array(heights), begun.offsets)


def gain_of_the_values(variance: float) -> float:
    """How much of what is wanted the values move, to first order."""
    one = inputs()
    wanted = WANTED - SHARE @ WANTED
    change = jacobian(one, network(one)) @ newton_step(one, network(one), WANTED, np.full(5, variance), 0.5)
    return float(change @ wanted / (wanted @ wanted))


def test_it_is_the_best_linear_estimate():
    """Against ridge regression on whitened parameters, solved by LAPACK."""
    one = inputs()
    slopes, variance = jacobian(one, network(one)), np.array([0.1, 0.2, 0.05, 0.4, 0.3])
    parts = [slice(0, 1), slice(1, 7)]
    reach = [float(SHARE @ (slopes[:, part] ** 2).sum(axis=1)) for part in parts]
    prior = 0.5 / np.array([reach[0]] + [reach[1]] * 6 + [1.0])
    normal = slopes.T @ (slopes / variance[:, None]) + np.diag(1 / prior)
    expected = np.linalg.solve(normal, slopes.T @ ((WANTED - SHARE @ WANTED) / variance))
    found = newton_step(one, network(one), WANTED, variance, 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_it_believes_exact_wishes_and_ignores_noise():
    found = [gain_of_the_values(variance) for variance in (1e-9, 0.1, 10.0, 1e6)]
    assert found[0] == pytest.approx(1, abs=1e-3)
    assert found[0] > found[1] > found[2] > found[3]
    assert 0 < found[3] < 1e-4


def test_a_constant_is_left_to_the_intercepts():
    one = inputs()
    step = newton_step(one, network(one), np.full(5, 3.0), np.full(5, 0.1), 0.5)
    np.testing.assert_allclose(step, 0, atol=1e-12)


def test_a_flat_start_moves_no_gain():
    one = inputs(start=(0.0,) * 5)
    step = newton_step(one, network(one), WANTED, np.full(5, 0.1), 0.5)
    assert step[0] == 0
    assert np.abs(step).max() > 0.01
    assert np.isfinite(step).all()


def test_one_bin_has_nothing_to_learn():
    one = Inputs(np.zeros(1), np.zeros(1), np.ones(1), (), np.ones(1), 0)
    np.testing.assert_array_equal(newton_step(one, initial(one, 4), np.ones(1), np.ones(1), 1.0), np.zeros(13))
