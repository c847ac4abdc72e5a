"""The loops over records of `binned_compiled`: Python that a compiler takes as it stands (`kept_code`).

Arrays are flat, nothing is allocated and nothing raised, since compiled they get addresses: sizes, types and cells
within the tables are for the caller to hold. All is whole numbers, and sums stay far below 2**63.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Starts = NDArray[np.uint64]
Bytes = NDArray[np.uint8]


def margins(
    n_rows: int,
    n_columns: int,
    cells: Bytes,
    starts: Starts,
    weights: NDArray[np.int32],
    intercept: int,
    found: Integers,
) -> None:
    """Write every record's margin."""
    for row in range(n_rows):
        total, first = intercept, row * n_columns
        for column in range(n_columns):
            total += weights[starts[column] + cells[first + column]]
        found[row] = total


def residual_sums(  # noqa: PLR0913, PLR0917, addresses cannot travel in a structure
    n_institutions: int,
    bounds: Integers,
    n_columns: int,
    cells: Bytes,
    bad: Bytes,
    starts: Starts,
    n_cells: int,
    weights: NDArray[np.int32],
    places: Integers,
    intercept: int,
    intercept_place: int,
    length: int,
    residuals: NDArray[np.int16],
    limit: int,
    at: Starts,
    by_cell: Integers,
    sums: Integers,
) -> None:
    """Add every institution's residuals to its row of `sums`; `at` and `by_cell` are room to work in.

    Residuals are added up by cell first: that spares each record a look-up of its coordinates.
    """
    width = 2 * limit + 1
    for institution in range(n_institutions):
        own = institution * length
        for cell in range(n_cells):
            by_cell[cell] = 0
        total = 0
        for row in range(bounds[institution], bounds[institution + 1]):
            margin, first = intercept, row * n_columns
            for column in range(n_columns):
                place = starts[column] + cells[first + column]
                at[column] = place
                margin += weights[place]
            residual = residuals[bad[row] * width + min(max(margin, -limit), limit) + limit]
            total += residual
            for column in range(n_columns):
                by_cell[at[column]] += residual
        for cell in range(n_cells):
            sums[own + places[cell]] += by_cell[cell]
        sums[own + intercept_place] += total


def class_counts(
    n_institutions: int,
    bounds: Integers,
    n_columns: int,
    cells: Bytes,
    bad: Bytes,
    starts: Starts,
    length: int,
    counts: Integers,
) -> None:
    """Count every institution's records into its row of `counts`: goods and bads of each cell side by side."""
    two = np.uint64(2)
    for institution in range(n_institutions):
        own = np.uint64(institution * length)
        for row in range(bounds[institution], bounds[institution + 1]):
            first = row * n_columns
            for column in range(n_columns):
                counts[own + starts[column] + two * np.uint64(cells[first + column]) + np.uint64(bad[row])] += 1
