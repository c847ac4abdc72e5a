"""The axioms of integrated gradients, and the rule against a plain Riemann sum."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.models.descent import WEIGHT_LIMIT, WEIGHT_SCALE
from fedcredit.models.integrated_gradients import integrated_gradients
from fedcredit.models.mlp_layout import Layer
from fedcredit.models.mlp_slopes import smooth

SHAPES = [(6, 5, 1), (9, 16, 8, 1), (5, 7, 7, 7, 1)]


def network(shape, size, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Layer(
            rng.uniform(-size, size, (outputs, inputs)) * WEIGHT_SCALE,
            rng.uniform(-size, size, outputs) * WEIGHT_SCALE if index else None,
        )
        for index, (inputs, outputs) in enumerate(pairwise(shape))
    ]


def ends(n_inputs, n, seed=1):
    rng = np.random.default_rng(seed)
    return np.zeros((n_inputs, n)), rng.uniform(-3, 3, (n_inputs, n))


def riemann(score, start, end, nodes=20_000):
    at = (np.arange(nodes) + 0.5) / nodes
    return np.stack(
        [
            (end - start)[:, n] * score(start[:, [n]] + (end - start)[:, [n]] * at)[1].mean(axis=1)
            for n in range(end.shape[1])
        ],
        axis=1,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 1.0, WEIGHT_LIMIT])
def test_values_add_up_to_the_rise(shape, size):
    score, (start, end) = smooth(network(shape, size)), ends(shape[0], 20)
    rise = score(end)[0] - score(start)[0]
    np.testing.assert_allclose(integrated_gradients(score, start, end).sum(axis=0), rise, rtol=0, atol=1e-6)
    assert np.abs(rise).max() > 0.01


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_the_rule_is_the_riemann_sum(size):
    score, (start, end) = smooth(network((6, 8, 4, 1), size)), ends(6, 4)
    plain = riemann(score, start, end)
    np.testing.assert_allclose(integrated_gradients(score, start, end), plain, rtol=0, atol=1e-4)


def test_a_fall_that_hides_a_rise_is_seen():
    """Two units jump at the same place in opposite directions: the score is flat, the values are not."""
    weights = np.array([[60.0, 0.0], [0.0, 60.0]])

    def score(points):
        inner = np.tanh(weights @ points - 20)
        signs = np.array([[1.0], [-1.0]])
        return (signs * inner).sum(axis=0), weights.T @ (signs * (1 - inner**2))

    found = integrated_gradients(score, np.zeros((2, 1)), np.ones((2, 1)))
    np.testing.assert_allclose(found[:, 0], [2.0, -2.0], atol=1e-6)


def test_a_rise_between_all_nodes_is_seen():
    def score(points):
        inner = np.tanh(1e4 * (points[0] - 0.3))
        return inner, 1e4 * (1 - inner[None] ** 2)

    found = integrated_gradients(score, np.zeros((1, 1)), np.ones((1, 1)))
    np.testing.assert_allclose(found, [[2.0]], atol=1e-6)


@given(st.integers(0, 2**32), st.sampled_from([0.2, 1.0, 8.0]))
@settings(max_examples=25, deadline=None)
def test_an_input_without_effect_or_way_gets_nothing(seed, size):
    layers = network((6, 5, 4, 1), size, seed)
    layers[0].weights[:, 2] = 0.0
    start, end = ends(6, 3, seed)
    start[4], end[4] = 1.0, 1.0
    found = integrated_gradients(smooth(layers), start, end)
    assert np.all(found[[2, 4]] == 0)
    assert np.all(np.abs(found[[0, 1, 3, 5]]).max(axis=0) > 0)


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_equal_inputs_get_equal_values(seed):
    layers = network((6, 5, 4, 1), 2.0, seed)
    layers[0].weights[:, 1] = layers[0].weights[:, 3]
    start, end = ends(6, 3, seed)
    end[1] = end[3]
    found = integrated_gradients(smooth(layers), start, end)
    np.testing.assert_allclose(found[1], found[3], rtol=0, atol=1e-9)


def test_a_line_is_taken_apart_exactly_and_sums_of_scores_linearly():
    slope = np.array([[0.5], [-2.0], [3.0]])
    start, end = ends(3, 5)

    def line(points):
        return (slope * points).sum(axis=0), np.broadcast_to(slope, points.shape)

    np.testing.assert_allclose(integrated_gradients(line, start, end), slope * end, rtol=0, atol=1e-12)
    first, second = smooth(network((3, 4, 1), 1.0, 1)), smooth(network((3, 6, 1), 1.0, 2))

    def both(points):
        (a, da), (b, db) = first(points), second(points)
        return 2 * a - b, 2 * da - db

    parts = 2 * integrated_gradients(first, start, end) - integrated_gradients(second, start, end)
    np.testing.assert_allclose(integrated_gradients(both, start, end), parts, rtol=0, atol=1e-7)


def test_a_record_is_explained_alone():
    score, (start, end) = smooth(network((6, 8, 1), 8.0)), ends(6, 300)
    together = integrated_gradients(score, start, end)
    alone = integrated_gradients(score, start[:, 7:8], end[:, 7:8])
    np.testing.assert_allclose(together[:, 7:8], alone, rtol=0, atol=1e-9)
    assert integrated_gradients(score, start[:, :0], end[:, :0]).shape == (6, 0)


def test_a_jump_ends():
    """A step function has no slope anywhere: nothing is found, and the search stops."""

    def step(points):
        return (points[0] > 0.3).astype(float), np.zeros(points.shape)

    assert integrated_gradients(step, np.zeros((1, 1)), np.ones((1, 1))).tolist() == [[0.0]]


@pytest.mark.parametrize("shape", SHAPES)
def test_slopes_are_differences(shape):
    score, (_, points) = smooth(network(shape, 1.0)), ends(shape[0], 6)
    _, slopes = score(points)
    for index in range(shape[0]):
        step = np.zeros((shape[0], 1))
        step[index] = 1e-6
        plain = (score(points + step)[0] - score(points - step)[0]) / 2e-6
        np.testing.assert_allclose(slopes[index], plain, rtol=0, atol=1e-6)
