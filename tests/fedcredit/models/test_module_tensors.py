"""Released weights as safetensors: exact values, read by plain torch modules that score alike."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from fedcredit import preflight
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.module_inputs import inputs_of
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.module_tensors import WEIGHTS_FILE, weight_files
from tests import own_module, tiny

pytestmark = pytest.mark.neural

DICTIONARY = tiny.dictionary()
MODULE = ModuleSpec(module=f"{own_module.PATH}:ResidualNet", source_sha256=own_module.source_sha256())
MLP = MlpSpec(hidden_sizes=(5, 3))


def state_of(spec: Any) -> Any:
    """A trained-looking state: a start and one step in a random direction."""
    family = family_of(spec.family)
    length = family.terms(spec, DICTIONARY).vector_length
    sums = sum(preflight.count(DICTIONARY, kind, tiny.rows(kind, 300, 1)).sum(axis=0) for kind in ("bank", "hospital"))
    counts = preflight.read_release(DICTIONARY, sums, 1, dict.fromkeys(range(4), 0))
    start = family.init(spec, DICTIONARY, counts, np.zeros(length), np.full(length, 1.0))
    return family.update(start, np.random.default_rng(0).integers(-(2**15), 2**15, length))


def scores(module: nn.Module, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return 1024 * module(torch.tensor(inputs))[:, 0].numpy()


def encoded_inputs(released: Mapping[str, Any], kind: str, cells: np.ndarray) -> np.ndarray:
    """Encoder by encoder its features, then 1 if the block is there; as the released JSON says."""
    owned = [DICTIONARY.feature_names[index] for index in DICTIONARY.owned(kind)]
    columns = []
    for encoder in released["encoders"]:
        for name in encoder["features"]:
            values = np.array(released["inputs"][name]) / released["input_scale"]
            columns.append(values[cells[:, owned.index(name)]] if name in owned else np.zeros(len(cells)))
        columns.append(np.full(len(cells), float(encoder["block"] in DICTIONARY.institution_type(kind).owns)))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_the_users_own_class_reads_the_file(kind):
    family, state = family_of("module"), state_of(MODULE)
    module = own_module.ResidualNet(6).double()
    module.load_state_dict(load(weight_files(family.release(state))[WEIGHTS_FILE]))
    cells = tiny.rows(kind, 40, 5).cells
    expected = family.margins(MODULE, DICTIONARY, kind, family.final(state), cells)
    np.testing.assert_allclose(scores(module, inputs_of(DICTIONARY, kind, state.values, cells)), expected, atol=0.501)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_a_plain_sequential_reads_a_perceptrons_file(kind):
    family, state = family_of("mlp"), state_of(MLP)
    module = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    module.load_state_dict(load(weight_files(family.release(state))[WEIGHTS_FILE]))
    cells = tiny.rows(kind, 40, 5).cells
    expected = family.margins(MLP, DICTIONARY, kind, family.final(state), cells)
    np.testing.assert_allclose(scores(module, inputs_of(DICTIONARY, kind, state.values, cells)), expected, atol=0.51)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_a_plain_sequential_reads_a_perceptrons_encoders(kind):
    spec = MlpSpec(hidden_sizes=(5,), encoder_units=2)
    family, state = family_of("mlp"), state_of(spec)
    module = nn.Sequential(nn.Linear(7, 6, bias=False), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    released = family.release(state)
    module.load_state_dict(load(weight_files(released)[WEIGHTS_FILE]))
    cells = tiny.rows(kind, 40, 5).cells
    expected = family.margins(spec, DICTIONARY, kind, family.final(state), cells)
    np.testing.assert_allclose(scores(module, encoded_inputs(released, kind, cells)), expected, atol=0.51)


def test_values_are_exact_and_the_bytes_repeat():
    released = family_of("module").release(state_of(MODULE))
    files = weight_files(released)
    assert weight_files(released) == files
    for one in released["parameters"]:
        tensor = load(files[WEIGHTS_FILE])[one["name"]]
        assert tensor.dtype == torch.float64
        assert (tensor * released["weight_scale"]).reshape(-1).tolist() == one["weights"]


def test_other_families_have_no_file():
    assert weight_files({"family": "scorecard"}) == {}


def test_without_safetensors_a_file_says_so(monkeypatch):
    released = family_of("mlp").release(state_of(MLP))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    ((name, content),) = weight_files(released).items()
    assert name == f"{WEIGHTS_FILE}.txt"
    assert b"pip install 'fedcredit[neural]'" in content
