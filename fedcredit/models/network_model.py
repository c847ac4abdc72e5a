"""A network as it travels: integers on public grids, hence canonical bytes and finite floats.

Bytes: every feature's cell values as little-endian int16, then all weights as little-endian int32. Their number follows
from plan and dictionary, so there is no header and exactly one valid length.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import WireError
from fedcredit.models.descent import WEIGHT_BITS, WEIGHT_SCALE
from fedcredit.models.mlp_inputs import INPUT_BOUND

MARGIN_SCALE = 1024
"""Margin units per logit."""
MARGIN_BOUND = 32 * MARGIN_SCALE
_LARGEST_UNITS = 2**WEIGHT_BITS


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """Everything that scoring and gradients need besides the plan.

    Attributes
    ----------
    values
        Per feature the input value of each grid cell, in input units.
    units
        Shape (vector_length,), int32: weights in weight units.
    """

    values: tuple[NDArray[np.int16], ...]
    units: NDArray[np.int32]

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights themselves."""
        return self.units / WEIGHT_SCALE

    def encode(self) -> bytes:
        """Canonical bytes."""
        return b"".join([*(part.astype("<i2").tobytes() for part in self.values), self.units.astype("<i4").tobytes()])


def decode(dictionary: DataDictionary, length: int, data: bytes, name: str) -> NetworkModel:
    """Read what `NetworkModel.encode` wrote.

    Parameters
    ----------
    length
        Number of weights.
    name
        What such a network is called.

    Raises
    ------
    WireError
        If the length is not the plan's, or a value or weight lies outside its public range.
    """
    sizes = [feature.n_cells for feature in dictionary.features]
    expected = 2 * sum(sizes) + 4 * length
    if len(data) != expected:
        raise WireError(
            f"a {name} of this plan has {expected} bytes, got {len(data)}; its writer uses another plan or version."
        )
    table = np.frombuffer(data, "<i2", sum(sizes)).astype(np.int16)
    units = np.frombuffer(data, "<i4", length, 2 * sum(sizes)).astype(np.int32)
    if np.any(np.abs(table.astype(np.int64)) > INPUT_BOUND) or np.any(np.abs(units.astype(np.int64)) > _LARGEST_UNITS):
        raise WireError(f"the {name}'s bytes leave its public value ranges; their writer is foreign.")
    starts = accumulate(sizes, initial=0)
    return NetworkModel(tuple(table[start : start + size] for start, size in zip(starts, sizes, strict=False)), units)


def margins_of(logits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Log-odds in margin units, within ±`MARGIN_BOUND`; same shape."""
    return np.rint(np.clip(logits * MARGIN_SCALE, -MARGIN_BOUND, MARGIN_BOUND)).astype(np.int64)
