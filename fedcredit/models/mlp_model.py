"""The perceptron as it travels: integers on public grids, hence canonical bytes and finite floats.

Bytes: every feature's cell values as little-endian int16, then all weights as little-endian int32. Their
number follows from plan and dictionary, so there is no header and exactly one valid length.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import WireError
from fedcredit.models.descent import WEIGHT_BITS
from fedcredit.models.mlp_gradients import forward
from fedcredit.models.mlp_inputs import INPUT_BOUND, design
from fedcredit.models.mlp_layout import Layer, split, vector_length
from fedcredit.models.mlp_spec import MlpSpec

MARGIN_SCALE = 1024
"""Margin units per logit."""
MARGIN_BOUND = 32 * MARGIN_SCALE
_LARGEST_UNITS = 2**WEIGHT_BITS


@dataclass(frozen=True, slots=True)
class MlpModel:
    """Everything that scoring and gradients need.

    Attributes
    ----------
    values
        Per feature the input value of each grid cell, in input units.
    units
        Shape (vector_length,), int32: weights and biases in weight units.
    """

    values: tuple[NDArray[np.int16], ...]
    units: NDArray[np.int32]

    def layers(self, spec: MlpSpec, dictionary: DataDictionary) -> tuple[Layer, ...]:
        """Weights and biases by layer, the first part by part, in weight units."""
        return split(spec, dictionary, self.units.astype(np.float64))

    def encode(self) -> bytes:
        """Canonical bytes."""
        return b"".join([*(part.astype("<i2").tobytes() for part in self.values), self.units.astype("<i4").tobytes()])


def decode(spec: MlpSpec, dictionary: DataDictionary, data: bytes) -> MlpModel:
    """Read what `MlpModel.encode` wrote.

    Raises
    ------
    WireError
        If the length is not the plan's, or a value or weight lies outside its public range.
    """
    sizes = [feature.n_cells for feature in dictionary.features]
    length = vector_length(spec, dictionary)
    expected = 2 * sum(sizes) + 4 * length
    if len(data) != expected:
        raise WireError(
            f"a perceptron of this plan has {expected} bytes, got {len(data)}; its writer uses another plan or version."
        )
    table = np.frombuffer(data, "<i2", sum(sizes)).astype(np.int16)
    units = np.frombuffer(data, "<i4", length, 2 * sum(sizes)).astype(np.int32)
    if np.any(np.abs(table.astype(np.int64)) > INPUT_BOUND) or np.any(np.abs(units.astype(np.int64)) > _LARGEST_UNITS):
        raise WireError("the perceptron's bytes leave its public value ranges; its writer is foreign.")
    starts = accumulate(sizes, initial=0)
    return MlpModel(tuple(table[start : start + size] for start, size in zip(starts, sizes, strict=False)), units)


def margins(
    spec: MlpSpec, dictionary: DataDictionary, view: str, model: MlpModel, cells: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Log-odds of the bad class in margin units, within ±`MARGIN_BOUND`; shape (n,)."""
    _, logits = forward(model.layers(spec, dictionary), design(spec, dictionary, view, model.values, cells).T)
    return np.clip(np.rint(logits * MARGIN_SCALE), -MARGIN_BOUND, MARGIN_BOUND).astype(np.int64)
