"""From one record's gradient to its clipped integers: floats choose the direction, integers decide the bound.

Why nothing overflows: the norm is compared as a whole number only if a float64 sum of squares is below 2^60. Such a
sum is off by a part in 2^30 at most, so the squares and their true sum fit 64 bits; whatever else stands in the vector
is dropped. No path is taken and nothing is raised for the sake of a record.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.mlp_clipping import SHAVED

_LARGEST_SQUARE = 2.0**60


def clip_to_lattice(gradient: NDArray[np.float64], scale: int, radius: int) -> NDArray[np.int64]:
    """Clip one record's gradient and truncate it towards zero.

    Parameters
    ----------
    gradient
        Shape (d,); with NaN, infinities or squares beyond float64 it counts as zeros.
    scale
        Lattice units per unit of gradient.
    radius
        Largest L2 norm of the result, in lattice units; below 2^29.

    Returns
    -------
    ndarray of int64, shape (d,)
        Of squared norm at most ``radius**2``.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        units = gradient * scale
        norm = np.sqrt(np.sum(units * units))
        clipped = units * np.minimum(1.0, radius * SHAVED / norm)
    # A norm of 0 gives the factor min(1, inf) = 1, or NaN with a radius of 0; no other is kept.
    usable = np.where(np.isfinite(norm) & np.isfinite(clipped), clipped, 0.0)
    return hold_norm(np.trunc(usable).astype(np.int64), radius)


def hold_norm(vector: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """Zero a vector whose integer norm exceeds the radius.

    After `clip_to_lattice`'s own clipping there is none; the sensitivity must not rest on floating point.
    """
    values = vector.astype(np.float64)
    exact = np.sum(values * values) < _LARGEST_SQUARE
    within = np.sum(vector * vector) <= radius * radius
    held: NDArray[np.int64] = np.where(exact & within, vector, 0)
    return held
