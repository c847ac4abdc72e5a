"""Rounds of the neural family are gradient descent: on real numbers within rounding, on integers to the byte."""

from typing import Any

import numpy as np
import pytest

from fedcredit import preflight
from fedcredit.models.descent import on_grid
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import family_of
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec
from tests import tiny
from tests.perceptrons import Case, slow_sum

FAMILY = family_of("mlp")
DICTIONARY = tiny.dictionary()
SHAPES = ((5, 6), (3, 5), (3,), (1, 3), (1,))


def start(spec: MlpSpec) -> Any:
    """From the exact counts of 300 records at a bank and 300 at a hospital."""
    parts = (("bank", tiny.rows("bank", 300, 1)), ("hospital", tiny.rows("hospital", 300, 2)))
    counts = sum(preflight.count(DICTIONARY, kind, rows).sum(axis=0) for kind, rows in parts)
    released = preflight.read_release(DICTIONARY, counts, 1, dict.fromkeys(range(4), 0))
    return FAMILY.init(spec, DICTIONARY, released, np.zeros(52), np.full(52, 600.0))


def plain_gradient(weights: np.ndarray, inputs: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Gradient of the summed loss in float64, backpropagation written out: shares nothing with the code."""
    w1, w2, b2, w3, b3 = (
        part.reshape(shape) for part, shape in zip(np.split(weights, [30, 45, 48, 51]), SHAPES, strict=True)
    )
    first = np.tanh(inputs @ w1.T)
    second = np.tanh(first @ w2.T + b2)
    d3 = 1 / (1 + np.exp(-(second @ w3.T + b3))) - bad[:, None]
    d2 = d3 @ w3 * (1 - second**2)
    d1 = d2 @ w2 * (1 - first**2)
    return np.concatenate([*(x.ravel() for x in (d1.T @ inputs, d2.T @ first, d2.sum(0), d3.T @ second, d3.sum(0)))])


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_without_clipping_one_institution_runs_plain_gradient_descent(kind):
    spec = MlpSpec(rounds=8, hidden_sizes=(5, 3), sampling_rate=1.0, clip_l2_norm=100, learning_rate=1.0)
    state, rows = start(spec), tiny.rows(kind, 600, 5)
    inputs, plain = design(spec, DICTIONARY, kind, state.values, rows.cells) / INPUT_SCALE, state.descent.weights
    for _ in range(spec.rounds):
        state = FAMILY.update(state, FAMILY.contribute(spec, DICTIONARY, kind, FAMILY.broadcast(state), rows)[0])
        plain = plain - spec.learning_rate * plain_gradient(plain, inputs, rows.bad) / 600
    assert np.abs(plain - start(spec).descent.weights).max() > 0.1
    # A record's signal is off by up to 2^-10, and what a layer reads by 2^-11: so is the mean, times an input up to 3.
    np.testing.assert_allclose(state.descent.weights, plain, rtol=0, atol=8 * 3 * 2.0**-10)


@pytest.mark.parametrize(("clip_l2_norm", "n"), [(100.0, 30), (0.3, 30)])
def test_rounds_give_the_bytes_of_gradient_descent_on_pythons_integers(clip_l2_norm, n):
    spec = MlpSpec(rounds=3, hidden_sizes=(5, 3), sampling_rate=1.0, clip_l2_norm=clip_l2_norm)
    state, rows = start(spec), tiny.rows("bank", n, 5)
    inputs, weights = design(spec, DICTIONARY, "bank", state.values, rows.cells).T, state.descent.weights
    for _ in range(spec.rounds):
        model = decode(spec, DICTIONARY, FAMILY.broadcast(state))
        total = slow_sum(Case(model.layers(spec, DICTIONARY), inputs, rows.bad), spec.gradient_scale, spec.clip_radius)
        weights = weights - spec.learning_rate * (np.array(total) / (spec.gradient_scale * 600))
        state = FAMILY.update(state, FAMILY.contribute(spec, DICTIONARY, "bank", FAMILY.broadcast(state), rows)[0])
        assert MlpModel(state.values, on_grid(weights)).encode() == FAMILY.broadcast(state)
