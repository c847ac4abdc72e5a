"""What computes the sums and counts of binned models: NumPy anywhere, code compiled for this machine, or torch.

All take the rows of many institutions at once and give one vector for each; a custodian has one institution, a
simulation thousands. All give the same integers, so neither plan nor model says which it was. Whoever asks for
compiled code or a CUDA device and cannot have it is told so; nothing falls back. Other code than NumPy is first tried
against it on public numbers: code kept from another version, or a device that is out of order, is refused.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.errors import ConfigError
from fedcredit.models import binned_numpy
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.class_counts import ClassCounts, by_numpy
from fedcredit.models.family import Kernel
from fedcredit.models.scorecard_spec import MARGIN_LIMIT

# Public rows on which kernels are compared, and institutions among them: two have none.
_ROWS, _CELLS = 311, (7, 40, 200, 2)
_OFFSETS = (0, 0, 5, 120, 120, 311)


class Margins(Protocol):
    """Log-odds of bad of every record, in units of 1/1024 logit."""

    def __call__(self, tables: BinnedTables, cells: Cells) -> NDArray[np.int64]:
        """Exact sums of the intercept and each cell's weight; shape (n,)."""
        ...


class ResidualSums(Protocol):
    """Sums of integer residuals over the coordinates that records fall into."""

    def __call__(
        self,
        tables: BinnedTables,
        scale: int,
        cells: Cells,
        bad: NDArray[np.uint8],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """One vector per institution; shape (m, length).

        Parameters
        ----------
        scale
            Lattice units per unit of residual, at most 4096.
        cells, bad, offsets
            As in `fedcredit.data.rows.Rows`; cells may be of any unsigned type, and lie in a mapped file.
        """
        ...


@dataclass(frozen=True, slots=True)
class BinnedKernel:
    """The three functions that touch records."""

    margins: Margins
    residual_sums: ResidualSums
    class_counts: ClassCounts


NUMPY = BinnedKernel(binned_numpy.margins, binned_numpy.residual_sums, by_numpy)


@lru_cache(maxsize=4)
def binned_kernel_of(kernel: Kernel) -> BinnedKernel:
    """A kernel; compiled code is compiled, or read from a cache, when it is first asked for.

    Raises
    ------
    ConfigError
        If there is no compiler or no such device, it has nowhere to keep what it compiled, or gives other integers.
    """
    match kernel:
        case "numpy":
            return NUMPY
        case "compiled":
            return _compiled()
        case "torch-cpu" | "torch-cuda":
            return _by_torch(kernel)


def torch_kernel(device: Literal["auto", "cpu", "cuda"]) -> Kernel:
    """Where torch shall compute; ``auto`` takes a CUDA device where there is one, and the processors elsewhere.

    Raises
    ------
    ConfigError
        If there is no torch, or ``cuda`` is asked for and torch finds no such device.
    """
    if find_spec("torch") is None:
        raise ConfigError("kernel=torch needs torch; run: pip install 'fedcredit[neural]', or set kernel=numpy.")
    has_cuda = import_module("fedcredit.models.binned_torch").has_cuda()
    if device == "cuda" and not has_cuda:
        raise ConfigError("device=cuda, and torch finds no CUDA device on this machine; set device=auto or device=cpu.")
    return "torch-cuda" if has_cuda and device != "cpu" else "torch-cpu"


def _by_torch(kernel: Literal["torch-cpu", "torch-cuda"]) -> BinnedKernel:
    device: Literal["cpu", "cuda"] = "cuda" if kernel == "torch-cuda" else "cpu"
    torch_kernel(device)
    sums = import_module("fedcredit.models.binned_torch").TorchSums(device)
    found = BinnedKernel(sums.margins, sums.residual_sums, sums.class_counts)
    if not _agree(found, NUMPY):
        raise ConfigError(f"kernel=torch gives other integers than NumPy on device={device}; set kernel=numpy.")
    return found


def _compiled() -> BinnedKernel:
    if find_spec("numba") is None:
        raise ConfigError("kernel=compiled needs numba; run: pip install 'fedcredit[fast]', or set kernel=numpy.")
    module = import_module("fedcredit.models.binned_compiled")
    compiled = BinnedKernel(module.margins, module.residual_sums, module.class_counts)
    if not _agree(compiled, NUMPY):
        raise ConfigError(
            "kernel=compiled gives other integers than NumPy on this machine; remove the compiled code that was kept "
            "(fedcredit-*.o in fedcredit/models/__pycache__, in ~/.cache/fedcredit or in NUMBA_CACHE_DIR), or set "
            "kernel=numpy."
        )
    return compiled


def _agree(one: BinnedKernel, other: BinnedKernel) -> bool:
    """Whether both give the same integers on public numbers, in both types of cells."""
    tables, offsets = _public_tables(), np.array(_OFFSETS, dtype=np.int64)
    bad = (np.arange(_ROWS) % 3 == 0).astype(np.uint8)
    wide = (_numbers(_ROWS * len(_CELLS)).reshape(_ROWS, -1) % np.array(_CELLS)).astype(np.uint16)

    def found(kernel: BinnedKernel, cells: Cells) -> list[NDArray[np.int64]]:
        return [
            kernel.margins(tables, cells),
            kernel.residual_sums(tables, 4096, cells, bad, offsets),
            kernel.class_counts(_CELLS, cells, bad, offsets),
        ]

    expected = found(other, wide)
    return all(
        np.array_equal(own, same)
        for cells in (wide, wide.astype(np.uint8))
        for own, same in zip(found(one, cells), expected, strict=True)
    )


def _public_tables() -> BinnedTables:
    """Three cells to a bin, and weights so large that some margins lie beyond the residual table."""
    starts = np.cumsum([0, *_CELLS])
    bins = [np.arange(size) // 3 for size in _CELLS]
    first = np.cumsum([0, *(int(own.max()) + 1 for own in bins)])
    places = np.concatenate([own + start for own, start in zip(bins, first[:-1], strict=True)])
    weights = _numbers(len(places)) % (2 * MARGIN_LIMIT + 1) - MARGIN_LIMIT
    return BinnedTables(starts, weights, places, 17, int(first[-1]), int(first[-1]) + 1)


def _numbers(count: int) -> NDArray[np.int64]:
    """Whole numbers of no particular order."""
    return (np.arange(count, dtype=np.int64) * 2_654_435_761 + 12_289) % 1_000_003
