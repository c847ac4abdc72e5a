"""Each record alone: Opacus' gradients, and the same integers whatever else is computed."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedcredit.models.module_clipping import clip_to_lattice
from fedcredit.models.module_gradients import clipped_gradient, holding, log_odds, record_gradient
from tests.opacus_oracle import per_record_gradients
from tests.own_module import Fails, ResidualNet

pytestmark = pytest.mark.neural

SCALE, N_INPUTS = 2**20, 6
ACTIVATIONS = [nn.Tanh, nn.Sigmoid, nn.Softplus, nn.GELU]


@st.composite
def stacks(draw) -> nn.Module:
    """Linear layers with LayerNorm or GroupNorm and smooth activations between them, or a residual network."""
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        return ResidualNet(N_INPUTS, draw(st.integers(2, 8))).double()
    layers: list[nn.Module] = []
    width = N_INPUTS
    for _ in range(draw(st.integers(0, 3))):
        outputs = 2 * draw(st.integers(2, 4))  # a group of one channel is nothing but its bias
        layers += [nn.Linear(width, outputs, bias=draw(st.booleans()))]
        layers += draw(st.sampled_from([[], [nn.LayerNorm(outputs)], [nn.GroupNorm(2, outputs)]]))
        layers += [draw(st.sampled_from(ACTIVATIONS))()]
        width = outputs
    return nn.Sequential(*layers, nn.Linear(width, 1)).double()


def records(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.clip(rng.standard_normal((n, N_INPUTS)), -3, 3), rng.integers(0, 2, n).astype(np.uint8)


def weights_of(module: nn.Module) -> np.ndarray:
    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()]).numpy()


def integers(module: nn.Module, inputs: np.ndarray, bad: np.ndarray, radius: int) -> list[np.ndarray]:
    with holding(module, weights_of(module)):
        return [clipped_gradient(module, x, y, SCALE, radius) for x, y in zip(inputs, bad.tolist(), strict=True)]


@settings(max_examples=25)
@given(stacks(), st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.05, 4))
def test_the_clipped_sums_are_those_of_opacus(module, seed, n, clip):
    inputs, bad = records(seed, n)
    theirs = per_record_gradients(module, inputs, bad)
    mine = np.stack([record_gradient(module, x, y) for x, y in zip(inputs, bad.tolist(), strict=True)])
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    radius = int(clip * SCALE)
    clip = radius / SCALE
    total = sum(integers(module, inputs, bad, radius)) / SCALE
    clipped = theirs * np.minimum(1, clip / np.maximum(np.linalg.norm(theirs, axis=1, keepdims=True), 1e-300))
    # Truncation takes less than one unit of 2^-20 per record and coordinate, which is below 1e-6.
    assert np.abs(total - clipped.sum(axis=0)).max() <= 1e-6 * n
    np.testing.assert_allclose(
        total * SCALE, sum(clip_to_lattice(gradient, SCALE, radius) for gradient in theirs), rtol=0, atol=n
    )


def test_the_oracle_tells_a_wrong_gradient():
    module, (inputs, bad) = ResidualNet(N_INPUTS).double(), records(0, 8)
    theirs = per_record_gradients(module, inputs, bad)
    flipped = record_gradient(module, inputs[0], 1 - int(bad[0]))
    assert np.abs(flipped - theirs[0]).max() > 0.01


def test_threads_neighbours_and_place_in_memory_change_no_bit():
    torch.manual_seed(1)
    module, (inputs, bad) = ResidualNet(N_INPUTS, 64).double(), records(1, 20)
    expected = integers(module, inputs, bad, 2**21)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again = integers(module, inputs[::-1], bad[::-1], 2**21)[::-1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    shifted = np.concatenate([[0.0], inputs.ravel()])[1:].reshape(inputs.shape)
    for other in (again, integers(module, shifted, bad, 2**21)):
        np.testing.assert_array_equal(other, expected)


def test_a_record_on_which_the_module_fails_counts_as_zeros_and_raises_nothing(caplog):
    torch.manual_seed(2)
    module, (inputs, bad) = Fails(N_INPUTS).double(), records(2, 3)
    inputs[:, -2:] = [[1, 0], [0, 1], [1, 1]]  # raises, gives NaN, is fine
    with caplog.at_level(logging.ERROR):
        found = integers(module, inputs, bad, 2**21)
        with holding(module, weights_of(module)):
            scores = [log_odds(module, record) for record in inputs]
    assert [bool(part.any()) for part in found] == [False, False, True]
    assert {part.shape for part in found} == {weights_of(module).shape}
    assert scores[:2] == [0.0, 0.0]
    assert scores[2] != 0.0
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, ValueError]


def test_the_log_does_not_count_the_records_on_which_the_module_fails(caplog):
    torch.manual_seed(2)
    module, (inputs, bad) = Fails(N_INPUTS).double(), records(5, 3)
    inputs[:, -2:] = [1, 0]
    with caplog.at_level(logging.ERROR):
        integers(module, inputs[:2], bad[:2], 2**21)
        few = len(caplog.records)
        integers(module, inputs, bad, 2**21)
    assert few == len(caplog.records) - few == 1


def test_holding_restores_the_threads_when_something_fails():
    module = ResidualNet(N_INPUTS).double()
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), holding(module, weights_of(module)):
        raise ZeroDivisionError
    with holding(module, weights_of(module)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
