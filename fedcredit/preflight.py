"""Phase preflight: class counts of every owned feature on its public grid, in one charged release.

A record adds 1 to one (cell, class) per owned feature, so its row has L2 norm sqrt(J_own). Missing rates, bins,
WoE, IV and the base rate all follow from the released sums without another look at the data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.class_counts import ClassCounts, by_numpy


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the coordinator knows after preflight.

    Attributes
    ----------
    counts
        Per feature an array (n_cells, 2) of noisy counts, goods then bads; may be negative.
    noise_stddev
        Per feature the standard deviation of the noise on one count; 0 without privacy.
    """

    counts: tuple[NDArray[np.float64], ...]
    noise_stddev: tuple[float, ...]


def vector_length(dictionary: DataDictionary) -> int:
    """Coordinates of a preflight vector: two per grid cell of every feature of the dictionary."""
    return 2 * sum(feature.n_cells for feature in dictionary.features)


def owned_coordinates(dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
    """Which coordinates an institution type owns; shape (vector_length,)."""
    owned = set(dictionary.owned(kind))
    return np.repeat(
        [index in owned for index in range(len(dictionary.features))],
        [2 * feature.n_cells for feature in dictionary.features],
    )


def count(dictionary: DataDictionary, kind: str, rows: Rows, class_counts: ClassCounts = by_numpy) -> NDArray[np.int64]:
    """Exact class counts of each institution's rows.

    Parameters
    ----------
    class_counts
        What counts; the integers are the same.

    Returns
    -------
    ndarray of int64, shape (m, vector_length)
        Zeros where the type owns nothing.
    """
    sizes = tuple(feature.n_cells for feature in dictionary.owned_features(kind))
    counts = np.zeros((rows.n_institutions, vector_length(dictionary)), dtype=np.int64)
    counts[:, owned_coordinates(dictionary, kind)] = class_counts(sizes, rows.cells, rows.bad, rows.offsets)
    return counts


def read_release(
    dictionary: DataDictionary, sums: NDArray[np.int64], scale: int, noise_variance: dict[int, int]
) -> Preflight:
    """Split released lattice sums into features and divide by the lattice scale.

    Parameters
    ----------
    sums
        Shape (vector_length,), summed over the owners of each coordinate.
    scale
        Lattice units per count.
    noise_variance
        Per feature index, the total variance of the owners' noises in squared lattice units.
    """
    ends = np.cumsum([2 * feature.n_cells for feature in dictionary.features])
    parts = np.split(sums.astype(np.float64) / scale, ends[:-1])
    return Preflight(
        tuple(part.reshape(-1, 2) for part in parts),
        tuple(noise_variance[index] ** 0.5 / scale for index in range(len(dictionary.features))),
    )
