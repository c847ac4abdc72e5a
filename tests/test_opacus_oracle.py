"""Torch modules through Opacus: single records' gradients, refusals with the reason."""

import numpy as np
import pytest
import torch
from torch import nn

from fedcredit.errors import ConfigError
from tests.opacus_oracle import per_record_gradients

pytestmark = pytest.mark.neural


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
