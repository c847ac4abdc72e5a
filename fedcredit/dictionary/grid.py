"""Public grids: from a declared range to cells, and from values to cells.

A grid is fixed by the data dictionary alone, never by data, so that two institutions put the same value into
the same cell. Edges are worked out in decimal arithmetic and kept to six significant digits: no platform's
``log`` or ``exp`` can move them, and they read well in a report. Quantisation is one clip and one binary
search; every input, however odd, has exactly one cell.

A feature with cut points ``c_1 < … < c_m`` has value cells ``0 … m`` (cell ``i`` holds ``c_i <= x <
c_{i+1}``) and then the missing cell ``m + 1``.
"""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 4096
"""Most cells of one feature, the missing cell included; fits ``uint16`` with room to spare."""

# Own contexts: a caller's decimal settings must not move an edge.
_WORK = Context(prec=40, rounding=ROUND_HALF_EVEN)
_EDGE = Context(prec=6, rounding=ROUND_HALF_EVEN)


def linear_edges(low: float, high: float, cells: int) -> tuple[float, ...]:
    """Inner edges of ``cells`` equally wide cells over ``[low, high]``.

    Parameters
    ----------
    low, high
        Declared range, ``low < high``.
    cells
        Number of cells, at least 1.

    Returns
    -------
    tuple of float
        At most ``cells - 1`` increasing edges, to six significant digits.
    """
    with localcontext(_WORK):
        return _rounded(_evenly(Decimal(low), Decimal(high), cells))


def signed_log_edges(low: float, high: float, cells: int, unit: float) -> tuple[float, ...]:
    """Inner edges of ``cells`` cells, equally wide in ``sign(x) ln(1 + |x| / unit)``.

    Linear below ``unit``, logarithmic above it, on both sides of zero: one rule for limits, balances that may
    be negative and payments with a long tail.

    Parameters
    ----------
    low, high
        Declared range, ``low < high``.
    cells
        Number of cells, at least 1.
    unit
        Size below which the scale is about linear, in the feature's unit; positive.

    Returns
    -------
    tuple of float
        At most ``cells - 1`` increasing edges, to six significant digits.
    """
    with localcontext(_WORK):
        scale = Decimal(unit)
        start, stop = _signed_log(Decimal(low), scale), _signed_log(Decimal(high), scale)
        return _rounded([_signed_exp(inner, scale) for inner in _evenly(start, stop, cells)])


def integer_edges(low: float, high: float) -> tuple[float, ...]:
    """Inner edges that give each integer of ``[low, high]`` a cell of its own."""
    return tuple(float(i) for i in range(int(low) + 1, int(high) + 1))


def cell_cuts(
    edges: Sequence[float], atoms: Sequence[float], low: float, high: float, *, integer: bool
) -> NDArray[np.float64]:
    """Cut points of a feature: its edges, with every atom set apart in a cell of its own.

    Parameters
    ----------
    edges
        Inner edges; a cell holds its lower edge.
    atoms
        Values inside ``[low, high]`` that get a cell of their own.
    low, high
        Declared range.
    integer
        Whole-number feature: cut points are whole numbers, so that no cell lies between two neighbouring
        integers.

    Returns
    -------
    NDArray[np.float64]
        Shape (m,), strictly increasing, inside ``(low, high]``; read-only.
    """
    cuts = {float(math.ceil(edge)) if integer else edge for edge in edges}
    for atom in atoms:
        # The smallest number above the atom opens the next cell: in float64 that isolates the atom exactly.
        cuts |= {atom, atom + 1.0 if integer else math.nextafter(atom, math.inf)}
    array = np.array(sorted(cut for cut in cuts if low < cut <= high), dtype=np.float64)
    array.setflags(write=False)
    return array


def quantise_numbers(
    values: NDArray[np.float64], cuts: NDArray[np.float64], low: float, high: float
) -> NDArray[np.uint16]:
    """Put numbers into cells.

    Parameters
    ----------
    values
        Shape (n,); NaN and ±inf mean missing.
    cuts
        Cut points from `cell_cuts`.
    low, high
        Declared range; values outside it go to the cell of the nearer end.

    Returns
    -------
    NDArray[np.uint16]
        Shape (n,): value cells ``0 … len(cuts)``, missing ``len(cuts) + 1``.
    """
    finite = np.isfinite(values)
    inside = np.clip(np.where(finite, values, low), low, high)
    cells = np.searchsorted(cuts, inside, side="right")
    return np.where(finite, cells, len(cuts) + 1).astype(np.uint16)


def quantise_codes(index: NDArray[np.int64], n_codes: int) -> NDArray[np.uint16]:
    """Put category positions into cells.

    Parameters
    ----------
    index
        Shape (n,): position of each value among the declared codes; anything outside ``0 … n_codes - 1`` is
        unknown.
    n_codes
        Number of declared codes.

    Returns
    -------
    NDArray[np.uint16]
        Shape (n,): the position, or ``n_codes`` (missing) for an unknown code.
    """
    known = (index >= 0) & (index < n_codes)
    return np.where(known, index, n_codes).astype(np.uint16)


def _evenly(start: Decimal, stop: Decimal, cells: int) -> list[Decimal]:
    # Weighted ends, not start + i * step: a symmetric range then has its middle exactly at zero.
    return [(start * (cells - i) + stop * i) / cells for i in range(1, cells)]


def _signed_log(value: Decimal, unit: Decimal) -> Decimal:
    return (1 + abs(value) / unit).ln().copy_sign(value)


def _signed_exp(value: Decimal, unit: Decimal) -> Decimal:
    return (unit * (abs(value).exp() - 1)).copy_sign(value)


def _rounded(edges: Sequence[Decimal]) -> tuple[float, ...]:
    """Keep six significant digits and drop the edges that this makes equal."""
    with localcontext(_EDGE):
        return tuple(sorted({float(+edge) for edge in edges}))
