"""The sums of `binned_numpy` and counts of `class_counts` by torch, on this machine's processors or a CUDA device.

Everything is int64 arithmetic and look-ups. Whole numbers add up to the same whatever the order, so the threads of a
device, which add in none, give NumPy's integers; no float is on the way. Rows go to the device a part at a time, and
may be mapped from a file.

For simulations and researchers: a served custodian loads no torch. Needs the extra `neural`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcredit.data.rows import Cells
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_spec import MARGIN_LIMIT

Integers = NDArray[np.int64]
# Look-ups of one part: 32 MiB for each of the few arrays that a part takes on the device.
_LOOKUPS_OF_A_PART = 2**22


def has_cuda() -> bool:
    """Whether torch finds a CUDA device."""
    return torch.cuda.is_available()


@dataclass(frozen=True, slots=True)
class TorchSums:
    """The functions of a `fedcredit.models.binned_kernel.BinnedKernel`.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    """

    device: str

    def margins(self, tables: BinnedTables, cells: Cells) -> Integers:
        """A `fedcredit.models.binned_kernel.Margins`."""
        found = np.empty(len(cells), dtype=np.int64)
        starts, weights = self._there(tables.starts[:-1]), self._there(tables.weights)
        for rows in _parts(*cells.shape):
            at = self._cells(cells[rows]) + starts
            found[rows] = (weights[at].sum(dim=1) + tables.intercept).cpu().numpy()
        return found

    def residual_sums(
        self, tables: BinnedTables, scale: int, cells: Cells, bad: NDArray[np.uint8], offsets: Integers
    ) -> Integers:
        """A `fedcredit.models.binned_kernel.ResidualSums`."""
        flat = (tables.starts[:-1], tables.weights, tables.places, residual_table(scale), offsets[1:])
        starts, weights, places, residuals, ends = (self._there(one) for one in flat)
        sums = self._zeros(len(offsets) - 1, tables.length)
        for rows in _parts(*cells.shape):
            at = self._cells(cells[rows]) + starts
            margins = (weights[at].sum(dim=1) + tables.intercept).clamp_(-MARGIN_LIMIT, MARGIN_LIMIT)
            residual = residuals[self._there(bad[rows]), margins + MARGIN_LIMIT]
            first = self._institutions(ends, rows) * tables.length
            _add(sums, first[:, None] + places[at], residual[:, None])
            _add(sums, first + tables.intercept_place, residual)
        return sums.cpu().numpy()

    def class_counts(
        self, n_cells: tuple[int, ...], cells: Cells, bad: NDArray[np.uint8], offsets: Integers
    ) -> Integers:
        """A `fedcredit.models.class_counts.ClassCounts`."""
        bounds = 2 * np.cumsum([0, *n_cells], dtype=np.int64)
        starts, ends, length = self._there(bounds[:-1]), self._there(offsets[1:]), int(bounds[-1])
        counts, one = self._zeros(len(offsets) - 1, length), self._there(np.ones(1))
        for rows in _parts(*cells.shape):
            place = 2 * self._cells(cells[rows]) + starts + self._there(bad[rows])[:, None]
            _add(counts, (self._institutions(ends, rows) * length)[:, None] + place, one)
        return counts.cpu().numpy()

    def _cells(self, cells: Cells) -> Tensor:
        """Cells of some rows as indices; bytes travel as bytes, for a device is far away."""
        own = np.asarray(cells)
        narrow = own if own.dtype == np.uint8 else own.astype(np.int64)
        return torch.tensor(narrow, device=self.device).to(torch.int64)

    def _there(self, values: NDArray[np.generic]) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.int64, device=self.device)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=self.device)

    def _institutions(self, ends: Tensor, rows: slice) -> Tensor:
        """Whose each row is: the first institution that ends behind it."""
        return torch.searchsorted(ends, torch.arange(rows.start, rows.stop, device=self.device), right=True)


def _parts(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, _LOOKUPS_OF_A_PART // width)
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def _add(sums: Tensor, place: Tensor, values: Tensor) -> None:
    """Add values, one for each place or one for several, into the flat sums."""
    sums.view(-1).index_add_(0, place.reshape(-1), values.expand_as(place).reshape(-1))
