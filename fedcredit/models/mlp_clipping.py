"""From per-record gradients to integers whose norm is bounded whatever the record and the rounding.

The bound is decided on integers, after truncation: floats only choose the direction. Nothing is raised and no
path is taken for the sake of one record.
"""

import numpy as np
from numpy.typing import NDArray

# Shorter by more than the rounding of a float64 norm (2^-45), and by less than a thousandth of a lattice unit.
_SHAVED = 1 - 2.0**-40


def clip_to_lattice(gradients: NDArray[np.float64], scale: int, radius: int) -> NDArray[np.int64]:
    """Clip each record's gradient and truncate it towards zero.

    Parameters
    ----------
    gradients
        Shape (n, d); a record with NaN or infinities contributes zeros.
    scale
        Lattice units per unit of gradient.
    radius
        Largest L2 norm of an integer row, in lattice units.

    Returns
    -------
    ndarray of int64, shape (n, d)
        Every row has squared norm at most ``radius**2``.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        units = gradients * scale
        norms = np.sqrt(np.sum(units * units, axis=1, keepdims=True))
        clipped = units * np.minimum(1.0, radius * _SHAVED / norms)
    # A norm of 0 gives the factor min(1, inf) = 1; one that overflowed or is NaN has no direction to keep.
    usable = np.where(np.isfinite(norms), clipped, 0.0)
    return hold_norm(np.trunc(usable).astype(np.int64), radius)


def hold_norm(rows: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """Zero every row whose integer norm exceeds the radius.

    After `clip_to_lattice`'s own clipping there is none; the sensitivity must not rest on floating point.
    """
    within = np.sum(rows * rows, axis=1, keepdims=True) <= radius * radius
    return np.where(within, rows, 0)
