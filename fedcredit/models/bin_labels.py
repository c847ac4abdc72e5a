"""Bins in words, from the cells that they join."""

import math

from fedcredit.dictionary.cells import Cell, feature_cells
from fedcredit.dictionary.schema import Feature


def bin_label(feature: Feature, cells: tuple[int, ...]) -> str:
    """Describe a bin, e.g. ``1,000 to < 5,000`` or ``single, other, missing``.

    Parameters
    ----------
    cells
        Grid cells of the bin, increasing; value cells of a number are neighbours.
    """
    described = feature_cells(feature)
    values = [cell for cell in cells if cell != feature.missing_cell]
    parts = []
    if values and feature.type == "category":
        parts = [described[cell].label for cell in values]
    elif values:
        whole_range = (0, feature.missing_cell - 1)
        parts = [_span(feature, described[values[0]], described[values[-1]], (values[0], values[-1]), whole_range)]
    if len(values) < len(cells):
        parts.append("missing")
    return ", ".join(parts)


def _span(feature: Feature, first: Cell, last: Cell, cells: tuple[int, int], whole_range: tuple[int, int]) -> str:
    if cells == whole_range:
        return "any value"
    if cells[0] == cells[1]:
        return first.label
    low, high = first.low or 0.0, last.high or 0.0
    if cells[1] == whole_range[1]:
        return f"{_number(low)} or more"
    inclusive = feature.type == "integer"
    above = math.nextafter(low, -math.inf)
    opening = f"above {_number(above)}" if above in feature.atoms and not inclusive else _number(low)
    if cells[0] == whole_range[0]:
        return f"{_number(high - 1)} or less" if inclusive else f"less than {_number(high)}"
    return f"{_number(low)} to {_number(high - 1)}" if inclusive else f"{opening} to < {_number(high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.6g}"
