"""Torch modules through Opacus: single records' gradients, refusals with the reason, clipping on integers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from fedcredit.errors import ConfigError
from tests.opacus_oracle import clip_to_lattice, hold_rows, per_record_gradients

pytestmark = pytest.mark.neural

finite = st.floats(-1e6, 1e6)
anything = st.floats(allow_nan=True, allow_infinity=True)


class Centred(nn.Module):
    """Takes the batch's mean off, in words that Opacus' list of layers does not know."""

    def forward(self, rows):
        return rows - rows.mean(dim=0)


def records(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, 3)), rng.integers(0, 2, n).astype(np.uint8)


def around(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 1)).double()


def slow_gradients(module: nn.Module, inputs: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """One record at a time, by autograd."""
    rows = []
    for x, y in zip(inputs, bad, strict=True):
        logit = module(torch.tensor(x[None, :]))[0, 0]
        loss = nn.functional.softplus(logit) - float(y) * logit
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))]).numpy())
    return np.array(rows)


@pytest.mark.parametrize("layers", [(nn.Tanh(),), (nn.LayerNorm(4), nn.ReLU()), (nn.GroupNorm(2, 4), nn.Tanh())])
def test_opacus_gives_the_gradients_of_single_records(layers):
    module, (inputs, bad) = around(*layers), records(20)
    found = per_record_gradients(module, inputs, bad)
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found, slow_gradients(module, inputs, bad), rtol=0, atol=1e-9)
    # The module is the caller's again, without hooks.
    np.testing.assert_array_equal(per_record_gradients(module, inputs, bad), found)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (around(nn.BatchNorm1d(4)), "layer '1' .BatchNorm1d.*depend on its peers.*nn.LayerNorm"),
        (around(nn.InstanceNorm1d(4, track_running_stats=True)), "layer '1' keeps running.*track_running_stats=False"),
        (around(nn.MultiheadAttention(4, 2)), "layer '1' .MultiheadAttention"),
        (around(nn.Tanh()).eval(), "training mode"),
        (around(Centred()), "mixes records"),
        (around(nn.Dropout(0.5)), "at random"),
    ],
)
def test_a_module_that_mixes_records_is_refused_with_the_reason(module, words):
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match=words):
        per_record_gradients(module, *records(5))


def test_gradients_leave_torchs_generator_and_threads_alone():
    module = around(nn.Tanh())
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    per_record_gradients(module, *records(9))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


# --- the lattice ---------------------------------------------------------------------------------------------------


@given(arrays(np.float64, (3, 4), elements=anything), st.integers(1, 2**20), st.integers(1, 2**26))
def test_no_record_exceeds_the_radius_whatever_its_gradient(gradients, scale, radius):
    rows = clip_to_lattice(gradients, scale, radius)
    assert rows.dtype == np.int64
    assert all(sum(int(v) ** 2 for v in row) <= radius**2 for row in rows)


@given(arrays(np.float64, (2, 4), elements=finite))
def test_clipping_keeps_direction_and_truncates_towards_zero(gradients):
    scale, radius = 2**16, 2**15
    wanted = gradients * scale
    wanted *= np.minimum(1, radius / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-300))
    off = np.abs(wanted) - np.abs(clip_to_lattice(gradients, scale, radius))
    assert np.all((off > -1e-6) & (off < 1 + 1e-6))


def test_a_gradient_that_is_not_finite_contributes_nothing_and_spoils_no_other():
    gradients = np.array([[np.nan, 0.1], [np.inf, 0.1], [1e300, 1e300], [0.25, -0.25], [0.0, 0.0]])
    np.testing.assert_array_equal(clip_to_lattice(gradients, 1024, 2048), [[0, 0], [0, 0], [0, 0], [256, -256], [0, 0]])


def test_a_row_beyond_the_radius_is_zeroed_on_integers():
    np.testing.assert_array_equal(hold_rows(np.array([[3, 4], [3, 5], [-5, 0]]), 5), [[3, 4], [0, 0], [-5, 0]])


def test_the_bound_is_reached_so_it_is_not_loose():
    gradients = np.array([[30.0, 40.0]])
    norm_squared = int((clip_to_lattice(gradients, 2**16, 2**15) ** 2).sum())
    assert 0.999 * 2**30 < norm_squared <= 2**30
