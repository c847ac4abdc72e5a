"""Cells in words and numbers: labels for tables, figures and points tables, and a typical value per cell."""

import math
from dataclasses import dataclass
from itertools import pairwise

from fedcredit.dictionary.schema import CategoriesGrid, Feature, SignedLogGrid


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a feature's grid.

    Parameters
    ----------
    label
        In words, e.g. ``1,000 to < 2,000``.
    low, high
        The cell holds ``low <= x < high``, in the feature's unit; the outer cells end at the declared range
        but also take what lies beyond it. None for a category and for the missing cell.
    value
        Typical value: an atom itself, else the middle on the grid's own scale. None as above.
    """

    label: str
    low: float | None
    high: float | None
    value: float | None


def feature_cells(feature: Feature) -> tuple[Cell, ...]:
    """Describe all cells of a feature in order, the missing cell last.

    Parameters
    ----------
    feature
        Any feature.

    Returns
    -------
    tuple of Cell
        ``feature.n_cells`` entries.
    """
    missing = Cell("missing", None, None, None)
    if isinstance(feature.grid, CategoriesGrid):
        return (*(Cell(text, None, None, None) for text in feature.grid.codes.values()), missing)
    bounds = cell_bounds(feature)
    last = len(bounds) - 1
    described = (
        Cell(_label(feature, i, last, low, high), low, high, _typical(feature, low, high))
        for i, (low, high) in enumerate(bounds)
    )
    return (*described, missing)


def cell_bounds(feature: Feature) -> tuple[tuple[float, float], ...]:
    """Return the lower and upper end of each value cell; empty for a category.

    The last upper end is the highest value of the range itself.
    """
    if feature.range is None:
        return ()
    ends = [feature.range[0], *feature.cuts.tolist(), feature.range[1]]
    return tuple(pairwise(ends))


def _label(feature: Feature, i: int, last: int, low: float, high: float) -> str:
    whole = feature.type == "integer"
    if last == 0:
        return "any value"
    if i == last:
        return f"{_number(low)} or more"
    if _single(feature, low, high):
        return f"{_number(low)} or less" if i == 0 else _number(low)
    if i == 0:
        return f"{_number(high - 1)} or less" if whole else f"less than {_number(high)}"
    if whole:
        return f"{_number(low)} to {_number(high - 1)}"
    above = math.nextafter(low, -math.inf)
    opening = f"above {_number(above)}" if above in feature.atoms else _number(low)
    return f"{opening} to < {_number(high)}"


def _single(feature: Feature, low: float, high: float) -> bool:
    """Whether the cell holds one value only."""
    step = low + 1 if feature.type == "integer" else math.nextafter(low, math.inf)
    return high == step


def _typical(feature: Feature, low: float, high: float) -> float:
    if feature.type == "integer":
        high = max(low, high - 1) if high != (feature.range or (0, 0))[1] else high
    if low == high or _single(feature, low, high):
        return low
    if isinstance(feature.grid, SignedLogGrid):
        unit = feature.grid.unit
        middle = (_log(low, unit) + _log(high, unit)) / 2
        return math.copysign(unit * math.expm1(abs(middle)), middle)
    return (low + high) / 2


def _log(value: float, unit: float) -> float:
    return math.copysign(math.log1p(abs(value) / unit), value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.6g}"
