"""Sums and scores over the rows of many institutions at once, by NumPy: the reference of the compiled kernel."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.residual_table import residual_table, residuals


def margins(tables: BinnedTables, cells: Cells) -> NDArray[np.int64]:
    """A `fedcredit.models.binned_kernel.Margins`."""
    total = np.full(len(cells), tables.intercept, dtype=np.int64)
    for column, (start, stop) in enumerate(_spans(tables.starts)):
        total += tables.weights[start:stop][cells[:, column]]
    return total


def residual_sums(
    tables: BinnedTables, scale: int, cells: Cells, bad: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A `fedcredit.models.binned_kernel.ResidualSums`."""
    m = len(offsets) - 1
    # Sums stay below 2**53 (2**12 per record, far fewer than 2**41 records): float64 holds them exactly.
    q = residuals(residual_table(scale), margins(tables, cells), bad).astype(np.float64)
    institution = np.repeat(np.arange(m), np.diff(offsets))
    sums = np.zeros((m, tables.length), dtype=np.int64)
    for column, (start, stop) in enumerate(_spans(tables.starts)):
        places = tables.places[start:stop]
        first, size = int(places.min()), int(places.max() - places.min()) + 1
        place = institution * size + (places - first)[cells[:, column]]
        own = np.bincount(place, weights=q, minlength=m * size).astype(np.int64)
        sums[:, first : first + size] = own.reshape(m, size)
    sums[:, tables.intercept_place] = np.bincount(institution, weights=q, minlength=m).astype(np.int64)
    return sums


def _spans(starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(pairwise(starts.tolist()))
