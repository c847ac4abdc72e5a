"""Each reason to refuse a torch module, and modules without one."""

import pytest
import torch

from fedcredit.errors import ConfigError
from fedcredit.models.module_loading import network_of
from fedcredit.models.module_spec import ModuleSpec
from tests import own_module

pytestmark = pytest.mark.neural

REFUSALS = {
    "Batch": "layer 'layers.1' .BatchNorm1d.*depend on its peers.*nn.LayerNorm",
    "Instance": "layer 'layers.1' keeps running.*track_running_stats=False",
    "Drops": "layer 'layers.1' .Dropout. draws at random; remove it",
    "DropsByHand": "the second time.*dropout",
    "Noisy": "the second time",
    "Modes": "training than in evaluation mode",
    "Centred": "mixes records",
    "Remembers": "a forward pass changes 'seen'",
    "RemembersInSecret": "the second time: it keeps state",
    "Frozen": "'layers.0.bias' is frozen",
    "Complex": "'turn' is torch.complex.*use floating point",
    "Weightless": "no parameter to train",
    "Huge": "the module has 281474993487905 weights; a message holds",
    "Flat": r"gives \(8,\) for 8 rows; it must give shape \(8, 1\)",
    "Several": "gives tuple",
    "Short": "computes in torch.float32",
    "Infinite": "NaN or an infinity on public rows",
    "Raises": "fails on public rows of shape .8, 6.: IndexError: out of range",
    "Detached": "no gradient on a public row: RuntimeError",
    "HiddenChance": "two constructions with equal weights",
    "ReadsATensor": "reads no value of a tensor",
    "NoModule": "no subclass of torch.nn.Module",
    "Unknown": "no subclass of torch.nn.Module",
    "nn": "no subclass of torch.nn.Module",
}


def spec(name: str, **arguments: object) -> ModuleSpec:
    return ModuleSpec(module=f"{own_module.PATH}:{name}", source_sha256=own_module.source_sha256(), arguments=arguments)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_module_is_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=REFUSALS[name]):
        network_of(spec(name), 6)


@pytest.mark.parametrize("name", ["ResidualNet", "Tied", "Fails"])
def test_a_sound_module_passes(name):
    network = network_of(spec(name), 6)
    assert all(parameter.dtype == torch.float64 for parameter in network.module.parameters())
    assert not network.module.training


@pytest.mark.parametrize("arguments", [{"breadth": 3}, {"width": "wide"}, {"width": -1}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        network_of(spec("ResidualNet", **arguments), 6)
