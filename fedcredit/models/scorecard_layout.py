"""Where a coordinate of the scorecard's training vector lies: fixed by plan and dictionary, before bins are known."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary


@dataclass(frozen=True, slots=True)
class Layout:
    """Feature by feature in dictionary order, then one intercept per institution type in the dictionary's order.

    Attributes
    ----------
    slots
        Per feature its coordinates; unused ones, beyond the bins chosen, stay zero.
    owners
        Per feature the indices of the institution types that own it.
    owned
        Per institution type the indices of its features.
    """

    slots: tuple[slice, ...]
    owners: tuple[tuple[int, ...], ...]
    owned: tuple[tuple[int, ...], ...]

    @property
    def first_intercept(self) -> int:
        """Coordinate of the first institution type's intercept."""
        return int(self.slots[-1].stop)

    @property
    def length(self) -> int:
        """Number of coordinates."""
        return self.first_intercept + len(self.owned)

    def owned_coordinates(self, kind_index: int) -> NDArray[np.bool_]:
        """Coordinates that an institution type owns; shape (length,)."""
        mask = np.zeros(self.length, dtype=np.bool_)
        for feature in self.owned[kind_index]:
            mask[self.slots[feature]] = True
        mask[self.first_intercept + kind_index] = True
        return mask


@lru_cache(maxsize=64)
def _layout(sizes: tuple[int, ...], owned: tuple[tuple[int, ...], ...]) -> Layout:
    ends = np.cumsum([0, *sizes]).tolist()
    owners = tuple(tuple(k for k, own in enumerate(owned) if f in own) for f in range(len(sizes)))
    return Layout(tuple(slice(start, stop) for start, stop in pairwise(ends)), owners, owned)


def layout(max_bins: int, dictionary: DataDictionary) -> Layout:
    """Lay out a training vector."""
    sizes = tuple(min(feature.n_cells, max_bins) for feature in dictionary.features)
    return _layout(sizes, tuple(dictionary.owned(kind) for kind in dictionary.kinds))
