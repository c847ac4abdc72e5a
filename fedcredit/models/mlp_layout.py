"""Where each weight of the perceptron stands in the flat training vector, and who can train it.

Inputs are one value per feature of the dictionary and a one-hot indicator of the institution type. A record
has zeros where its institution owns nothing, so the gradient of those first-layer weights is exactly zero
there. The indicator's column is the first layer's bias, one per type; that layer has no other.

Order of the vector: per layer its weights (outputs x inputs, row by row), then its biases.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.mlp_spec import MlpSpec


@dataclass(frozen=True, slots=True)
class Layer:
    """One linear layer; the unit of its numbers is the caller's.

    Attributes
    ----------
    weights
        Shape (outputs, inputs).
    biases
        Shape (outputs,); None in the first layer.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64] | None


def n_inputs(dictionary: DataDictionary) -> int:
    """Inputs of the perceptron: one per feature, one per institution type."""
    return len(dictionary.features) + len(dictionary.kinds)


def indicator_input(dictionary: DataDictionary, kind: str) -> int:
    """Index of the input that is 1 for records of institution type `kind`."""
    return len(dictionary.features) + dictionary.kinds.index(kind)


def layer_shapes(spec: MlpSpec, dictionary: DataDictionary) -> tuple[tuple[int, int], ...]:
    """Per layer (outputs, inputs); the last has one output, the log-odds of the bad class."""
    widths = (n_inputs(dictionary), *spec.hidden_sizes, 1)
    return tuple((outputs, inputs) for inputs, outputs in pairwise(widths))


def vector_length(spec: MlpSpec, dictionary: DataDictionary) -> int:
    """Number of weights and biases."""
    shapes = layer_shapes(spec, dictionary)
    return sum(outputs * inputs for outputs, inputs in shapes) + sum(outputs for outputs, _ in shapes[1:])


def split(spec: MlpSpec, dictionary: DataDictionary, vector: NDArray[np.float64]) -> tuple[Layer, ...]:
    """View a flat vector, shape (vector_length,), as layers."""
    layers: list[Layer] = []
    start = 0
    for outputs, inputs in layer_shapes(spec, dictionary):
        middle = start + outputs * inputs
        weights = vector[start:middle].reshape(outputs, inputs)
        start = middle + (outputs if layers else 0)
        layers.append(Layer(weights, vector[middle:start] if layers else None))
    return tuple(layers)


def owned_coordinates(spec: MlpSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
    """Coordinates in which a record of type `kind` can have a gradient; shape (vector_length,)."""
    outputs, inputs = layer_shapes(spec, dictionary)[0]
    first = np.zeros((outputs, inputs), dtype=np.bool_)
    first[:, [*dictionary.owned(kind), indicator_input(dictionary, kind)]] = True
    rest = vector_length(spec, dictionary) - first.size
    return np.concatenate([first.ravel(), np.ones(rest, dtype=np.bool_)])
