"""Good and bad records in every grid cell, for the rows of many institutions at once: what preflight releases."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells


class ClassCounts(Protocol):
    """Good and bad records in every cell."""

    def __call__(
        self, n_cells: tuple[int, ...], cells: Cells, bad: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Per feature and cell, goods then bads; shape (m, 2 * sum of `n_cells`).

        Parameters
        ----------
        n_cells
            Cells of each feature.
        cells, bad, offsets
            As in `fedcredit.data.rows.Rows`; cells may be of any unsigned type, and lie in a mapped file.
        """
        ...


def by_numpy(
    n_cells: tuple[int, ...], cells: Cells, bad: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A `ClassCounts` by NumPy."""
    m = len(offsets) - 1
    institution = np.repeat(np.arange(m), np.diff(offsets))
    counts = [
        np.bincount(institution * (2 * size) + 2 * cells[:, column].astype(np.int64) + bad, minlength=m * 2 * size)
        for column, size in enumerate(n_cells)
    ]
    return np.concatenate([own.astype(np.int64).reshape(m, -1) for own in counts], axis=1)
