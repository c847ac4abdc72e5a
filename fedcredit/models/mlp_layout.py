"""Where each input and weight of the perceptron stands, and who can train it.

Inputs are one value per feature of the dictionary and some bits. A record has zeros where its institution owns
nothing, so the gradient of those first-layer weights is exactly zero there. The columns of the bits are the first
layer's biases; that layer has no others.

Without encoders the first layer is one part that reads every feature and one bit per institution type. With encoders it
has one part per block of the dictionary, which reads that block's features and the bit "this block is there". Of a
block that is not there an encoder reads zeros only: its units are tanh(0) = 0, so neither its weights nor those that
read it change the log-odds, and the gradients of both are exactly zero. The mask is the data.

Order of the inputs: part by part the features in dictionary order, then the bits. Order of the vector: per layer its
weights (outputs x inputs, row by row), then its biases; the first layer part by part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.mlp_spec import MlpSpec


@dataclass(frozen=True, slots=True)
class Layer:
    """One linear layer, or one part of the first; the unit of its numbers is the caller's.

    Attributes
    ----------
    weights
        Shape (outputs, inputs).
    biases
        Shape (outputs,); None in the first layer, whose parts stand first and read the inputs one after the other.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class InputPart:
    """What one part of the first layer reads.

    Attributes
    ----------
    features
        Indices of the features.
    bits
        Per bit the institution types whose records have a 1 there.
    """

    features: tuple[int, ...]
    bits: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.features) + len(self.bits)


def input_parts(spec: MlpSpec, dictionary: DataDictionary) -> tuple[InputPart, ...]:
    """One part per block, or a single one without encoders."""
    kinds = dictionary.kinds
    if not spec.encoder_units:
        return (InputPart(tuple(range(len(dictionary.features))), tuple((kind,) for kind in kinds)),)
    features: dict[str, list[int]] = {block: [] for block in dictionary.blocks}
    for index, feature in enumerate(dictionary.features):
        features[feature.block].append(index)
    owners = {
        block: tuple(kind for kind in kinds if block in dictionary.institution_type(kind).owns) for block in features
    }
    return tuple(InputPart(tuple(read), (owners[block],)) for block, read in features.items())


def n_inputs(spec: MlpSpec, dictionary: DataDictionary) -> int:
    """Inputs of the perceptron: one per feature, one per institution type or block."""
    return sum(part.width for part in input_parts(spec, dictionary))


def input_columns(spec: MlpSpec, dictionary: DataDictionary, kind: str) -> tuple[list[int], list[int]]:
    """Inputs of the features that `kind` owns, in dictionary order, and of the bits that its records have at 1."""
    owned, columns, bits = set(dictionary.owned(kind)), dict[int, int](), list[int]()
    start = 0
    for part in input_parts(spec, dictionary):
        columns |= {feature: start + place for place, feature in enumerate(part.features) if feature in owned}
        first_bit = start + len(part.features)
        bits += [first_bit + place for place, kinds in enumerate(part.bits) if kind in kinds]
        start += part.width
    return [columns[feature] for feature in sorted(columns)], bits


def layer_shapes(spec: MlpSpec, dictionary: DataDictionary) -> tuple[tuple[int, int], ...]:
    """Per layer (outputs, inputs), the first part by part; the last has one output, the log-odds of the bad class."""
    parts = input_parts(spec, dictionary)
    units = spec.encoder_units or spec.hidden_sizes[0]
    above = spec.hidden_sizes if spec.encoder_units else spec.hidden_sizes[1:]
    widths = (len(parts) * units, *above, 1)
    return (*((units, part.width) for part in parts), *((outputs, inputs) for inputs, outputs in pairwise(widths)))


def n_first(layers: Sequence[Layer]) -> int:
    """Number of parts of the first layer."""
    count = 1
    while layers[count].biases is None:
        count += 1
    return count


def vector_length(spec: MlpSpec, dictionary: DataDictionary) -> int:
    """Number of weights and biases."""
    shapes = layer_shapes(spec, dictionary)
    parts = len(input_parts(spec, dictionary))
    return sum(outputs * inputs for outputs, inputs in shapes) + sum(outputs for outputs, _ in shapes[parts:])


def split(spec: MlpSpec, dictionary: DataDictionary, vector: NDArray[np.float64]) -> tuple[Layer, ...]:
    """View a flat vector, shape (vector_length,), as layers, the first part by part."""
    parts = len(input_parts(spec, dictionary))
    layers: list[Layer] = []
    start = 0
    for outputs, inputs in layer_shapes(spec, dictionary):
        has_biases = len(layers) >= parts
        middle = start + outputs * inputs
        weights = vector[start:middle].reshape(outputs, inputs)
        start = middle + (outputs if has_biases else 0)
        layers.append(Layer(weights, vector[middle:start] if has_biases else None))
    return tuple(layers)


def owned_coordinates(spec: MlpSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
    """Coordinates in which a record of type `kind` can have a gradient; shape (vector_length,)."""
    owned = np.ones(vector_length(spec, dictionary))
    layers, parts = split(spec, dictionary, owned), input_parts(spec, dictionary)
    features, bits = input_columns(spec, dictionary, kind)
    read = np.zeros(n_inputs(spec, dictionary))
    read[[*features, *bits]] = 1
    start = 0
    for index, (part, layer) in enumerate(zip(parts, layers, strict=False)):
        mine = read[start : start + part.width]
        layer.weights[...] = mine
        units = len(layer.weights)
        if not mine.any():  # the layer above reads zeros from the encoder of a missing block
            layers[len(parts)].weights[:, index * units : (index + 1) * units] = 0
        start += part.width
    return owned.astype(np.bool_)
