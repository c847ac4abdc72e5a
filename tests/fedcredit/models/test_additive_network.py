import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.models.additive_network import Inputs, Network, initial, jacobian, moved, values

HIDDEN = 3
DIRECTIONS = st.sampled_from([-1, 0, 1])


def inputs(direction: int = 0, seed: int = 0) -> Inputs:
    """Four bins on the scale and two beside it."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.normal(size=6)) * (direction or 1)
    return Inputs(
        start=start,
        position=np.array([-0.75, -0.25, 0.25, 0.75, 0.0, 0.0]),
        ordered=np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
        own=(4, 5) if direction else (1, 4, 5),
        share=np.array([0.3, 0.2, 0.2, 0.1, 0.15, 0.05]),
        direction=direction,
    )


def n_parameters(one: Inputs) -> int:
    return 1 + 3 * HIDDEN + len(one.own)


def somewhere(one: Inputs, seed: int) -> Network:
    step = np.random.default_rng(seed).normal(size=n_parameters(one))
    return moved(one, initial(one, HIDDEN), step)


@pytest.mark.parametrize("hidden_units", [1, 2, 8])
def test_it_begins_as_the_centred_start(hidden_units):
    one = inputs()
    expected = one.start - (one.share * one.start).sum()
    np.testing.assert_allclose(values(one, initial(one, hidden_units)), expected, atol=1e-15)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_the_jacobian_is_that_of_finite_differences(seed):
    one = inputs(seed=seed)
    network, width = somewhere(one, seed), 1e-5
    numeric = np.stack(
        [
            (values(one, moved(one, network, step)) - values(one, moved(one, network, -step))) / (2 * width)
            for step in width * np.eye(n_parameters(one))
        ],
        axis=1,
    )
    np.testing.assert_allclose(jacobian(one, network), numeric, atol=1e-7)


def test_sums_per_bin_are_all_that_backpropagation_needs():
    """Gradient of the loss, record by record, against the custodians' sums of residuals."""
    one, rng = inputs(), np.random.default_rng(3)
    network = somewhere(one, 3)
    bins, bad = rng.integers(0, 6, 200), rng.random(200) < 0.3

    def loss(other: Network) -> float:
        score = values(one, other)[bins]
        return float((np.logaddexp(0, score) - bad * score).sum())

    width = 1e-5
    by_record = [
        (loss(moved(one, network, step)) - loss(moved(one, network, -step))) / (2 * width)
        for step in width * np.eye(n_parameters(one))
    ]
    residual = 1 / (1 + np.exp(-values(one, network)[bins])) - bad
    by_bin = np.bincount(bins, weights=residual, minlength=6) @ jacobian(one, network)
    np.testing.assert_allclose(by_bin, by_record, atol=1e-5)


@settings(max_examples=50)
@given(direction=DIRECTIONS, seed=st.integers(0, 10**6), length=st.sampled_from([0.1, 3.0, 100.0]))
def test_a_declared_direction_survives_every_step(direction, seed, length):
    one, rng = inputs(direction, seed), np.random.default_rng(seed)
    network = initial(one, HIDDEN)
    for _ in range(4):
        network = moved(one, network, length * rng.normal(size=n_parameters(one)))
        steps = np.diff(values(one, network)[:4])
        assert direction == 0 or np.all(direction * steps >= -1e-12 * length)


def test_without_a_direction_steps_are_free():
    one = inputs(0)
    step = np.full(n_parameters(one), -5.0)
    network = moved(one, initial(one, HIDDEN), step)
    assert network.gain == -4
    assert (network.heights == -5).all()
    assert (network.offsets == -5).all()
