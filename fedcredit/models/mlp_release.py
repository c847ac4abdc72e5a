"""The released perceptron as JSON values: integers on public grids, hence the same scores as its bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_layout import Layer, input_parts, n_first
from fedcredit.models.mlp_model import MlpModel
from fedcredit.models.mlp_spec import MlpSpec


def release(spec: MlpSpec, dictionary: DataDictionary, model: MlpModel) -> dict[str, Any]:
    """Input values, then the first layer and those above it."""
    layers = model.layers(spec, dictionary)
    return {
        "family": spec.family,
        "activation": "tanh",
        "output": "log-odds of the bad class",
        "input_scale": INPUT_SCALE,
        "inputs": {name: part.tolist() for name, part in zip(dictionary.feature_names, model.values, strict=True)},
        "weight_scale": WEIGHT_SCALE,
        **(_with_encoders if spec.encoder_units else _plain)(spec, dictionary, layers),
    }


def _plain(_: MlpSpec, dictionary: DataDictionary, layers: Sequence[Layer]) -> dict[str, Any]:
    """The first layer reads every feature, then one indicator per institution type."""
    return {"indicators": list(dictionary.kinds), "layers": [_layer(layer) for layer in layers]}


def _with_encoders(spec: MlpSpec, dictionary: DataDictionary, layers: Sequence[Layer]) -> dict[str, Any]:
    """An encoder reads the features named, then 1 if the block is there; the first layer reads all encoders in turn."""
    parts = zip(dictionary.blocks, input_parts(spec, dictionary), layers, strict=False)
    names = dictionary.feature_names
    return {
        "encoders": [
            {"block": block, "features": [names[index] for index in part.features], "weights": _integers(layer.weights)}
            for block, part, layer in parts
        ],
        "layers": [_layer(layer) for layer in layers[n_first(layers) :]],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    biases = None if layer.biases is None else _integers(layer.biases)
    return {"weights": _integers(layer.weights), "biases": biases}


def _integers(values: NDArray[np.float64]) -> list[Any]:
    whole: list[Any] = values.astype(np.int64).tolist()
    return whole
