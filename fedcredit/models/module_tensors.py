"""Released neural weights as a safetensors file: exact float64 values, and no code in the format.

Of family ``module`` the names are those of ``named_parameters()``: ``load_state_dict`` of the plan's own class reads
the file. Of family ``mlp`` they are those of a plain ``nn.Sequential`` of ``nn.Linear`` and ``nn.Tanh`` in turn, the
first layer with ``bias=False``, in float64; encoders are blocks on the diagonal of that first layer. A module's inputs
are what the released JSON says, divided by its ``input_scale``, in the JSON's order: features, then indicators, or
encoder by encoder its features, then 1 where the block is there.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS_FILE = "model.safetensors"
_MISSING = b"model.safetensors is not here: safetensors is not installed; run: pip install 'fedcredit[neural]'\n"


def weight_files(released: Mapping[str, Any]) -> dict[str, bytes]:
    """Name and content of what goes beside a released model's JSON.

    Parameters
    ----------
    released
        What its family's `release` gives.

    Returns
    -------
    dict
        Empty for families without tensors; a sentence that says so where safetensors is not installed.
    """
    tensors = released_tensors(released)
    if not tensors:
        return {}
    if find_spec("safetensors") is None:
        return {f"{WEIGHTS_FILE}.txt": _MISSING}
    return {WEIGHTS_FILE: import_module("safetensors.numpy").save(tensors)}


def released_tensors(released: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Weights by torch's names; empty for families that have none."""
    match released["family"]:
        case "module":
            units = {one["name"]: np.reshape(one["weights"], one["shape"]) for one in released["parameters"]}
        case "mlp":
            units = _sequential(_dense_layers(released))
        case _:
            units = {}
    return {name: np.ascontiguousarray(part / released["weight_scale"]) for name, part in units.items()}


def _dense_layers(released: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    encoders = released.get("encoders", [])
    if not encoders:
        return [*released["layers"]]
    first = import_module("scipy.linalg").block_diag(*(np.array(encoder["weights"]) for encoder in encoders))
    return [{"weights": first, "biases": None}, *released["layers"]]


def _sequential(layers: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Linear layers at the even places of an nn.Sequential, tanh at the odd ones."""
    return {
        f"{2 * place}.{name}": np.array(layer[part], dtype=np.int64)
        for place, layer in enumerate(layers)
        for name, part in (("weight", "weights"), ("bias", "biases"))
        if layer[part] is not None
    }
