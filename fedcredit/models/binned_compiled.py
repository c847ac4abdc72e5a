"""The sums of `binned_numpy` and counts of `class_counts`, compiled for this machine: the same integers, sooner.

Everything is whole numbers: a margin is a sum of table entries, a residual a look-up, so no order of operations and no
compiler can change a digit. NumPy walks through memory once a feature; here a record is read once, and what it adds to
lies in the processor's first cache. Rows may be mapped from a file: they are read in order, a part at a time.

Threads are the caller's: as many as there are processors, each on a part of the rows, with sums of its own.

The loops are those of `binned_loops`, compiled when first called and kept by `kept_code`. Needs the extra `fast`.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.errors import DataError
from fedcredit.models import binned_loops, kept_code
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.kept_code import Loop
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_spec import MARGIN_LIMIT

Integers = NDArray[np.int64]

_CELL_TYPES = (np.uint8, np.uint16)
# Below so many table look-ups, a thread costs more than it saves.
_LOOKUPS_OF_A_THREAD = 2**17
# Parts per thread, so that one which is slower does not keep the other waiting; and the largest, in look-ups, so that
# of rows in a mapped file few are copied at a time.
_PARTS_OF_A_THREAD = 4
_LOOKUPS_OF_A_PART = 2**24


def margins(tables: BinnedTables, cells: Cells) -> Integers:
    """A `fedcredit.models.binned_kernel.Margins`."""
    found, own = np.empty(len(cells), dtype=np.int64), np.asarray(cells)
    compiled, starts, weights = _code("margins", own), *_flat(tables)

    def part(rows: slice) -> None:
        size = (rows.stop - rows.start, own.shape[1])
        compiled(*size, _plain(own[rows]), starts, weights, tables.intercept, found[rows])

    _in_threads(part, _parts(*own.shape))
    return found


def residual_sums(
    tables: BinnedTables, scale: int, cells: Cells, bad: NDArray[np.uint8], offsets: Integers
) -> Integers:
    """A `fedcredit.models.binned_kernel.ResidualSums`."""
    own = np.asarray(cells)
    compiled, starts, weights = _code("residual_sums", own), *_flat(tables)
    model = (len(weights), weights, tables.places, tables.intercept, tables.intercept_place, tables.length)
    residuals = residual_table(scale).astype(np.int16)

    def part(rows: slice) -> tuple[slice, Integers]:
        members, bounds = _members(offsets, rows)
        sums = np.zeros((len(bounds) - 1, tables.length), dtype=np.int64)
        records = (own.shape[1], _plain(own[rows]), _plain(bad[rows]))
        room = (np.empty(own.shape[1], np.uint64), np.empty(len(weights), np.int64))
        compiled(len(sums), bounds, *records, starts, *model, residuals, MARGIN_LIMIT, *room, sums)
        return members, sums

    return _added(part, own, offsets, tables.length)


def class_counts(n_cells: tuple[int, ...], cells: Cells, bad: NDArray[np.uint8], offsets: Integers) -> Integers:
    """A `fedcredit.models.class_counts.ClassCounts`."""
    starts = 2 * np.cumsum([0, *n_cells], dtype=np.uint64)
    own, length = np.asarray(cells), int(starts[-1])
    compiled = _code("class_counts", own)

    def part(rows: slice) -> tuple[slice, Integers]:
        members, bounds = _members(offsets, rows)
        counts = np.zeros((len(bounds) - 1, length), dtype=np.int64)
        compiled(len(counts), bounds, own.shape[1], _plain(own[rows]), _plain(bad[rows]), starts, length, counts)
        return members, counts

    return _added(part, own, offsets, length)


def _flat(tables: BinnedTables) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Where each feature's cells begin, and their weights, in the types that compiled code reads fastest."""
    return tables.starts[:-1].astype(np.uint64), tables.weights.astype(np.int32)


@lru_cache(maxsize=1)
def _functions() -> dict[str, Callable[..., None]]:
    loops: dict[str, Loop] = {}
    for cell in _CELL_TYPES:
        name, record = np.dtype(cell).name, (int, cell)
        records = (int, np.int64, *record, np.uint8, np.uint64)
        model = (int, np.int32, np.int64, int, int, int)
        work = (np.int16, int, np.uint64, np.int64, np.int64)
        loops |= {
            f"margins_{name}": Loop(binned_loops.margins, (int, *record, np.uint64, np.int32, int, np.int64)),
            f"residual_sums_{name}": Loop(binned_loops.residual_sums, (*records, *model, *work)),
            f"class_counts_{name}": Loop(binned_loops.class_counts, (*records, int, np.int64)),
        }
    return kept_code.load(loops)


def _code(name: str, cells: Cells) -> Callable[..., None]:
    """The compiled loop for cells of this type."""
    if cells.dtype not in _CELL_TYPES:
        raise DataError(f"cells of type {cells.dtype} are not compiled for, only uint8 and uint16.")
    return _functions()[f"{name}_{cells.dtype.name}"]


def _added(part: Callable[[slice], tuple[slice, Integers]], cells: Cells, offsets: Integers, length: int) -> Integers:
    """Sums over all parts; an institution whose rows lie in several gets several."""
    total = np.zeros((len(offsets) - 1, length), dtype=np.int64)
    for members, sums in _in_threads(part, _parts(*cells.shape)):
        total[members] += sums
    return total


_Result = TypeVar("_Result")


def _in_threads(part: Callable[[slice], _Result], parts: list[slice]) -> list[_Result]:
    if len(parts) == 1:
        return [part(parts[0])]
    with ThreadPoolExecutor(_processors()) as threads:
        return list(threads.map(part, parts))


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _parts(n_rows: int, width: int) -> list[slice]:
    """Rows cut into parts of about equal size: one, or several for each thread."""
    lookups = n_rows * width
    threads = min(_processors(), lookups // _LOOKUPS_OF_A_THREAD)
    n_parts = max(threads * _PARTS_OF_A_THREAD if threads > 1 else 1, -(-lookups // _LOOKUPS_OF_A_PART))
    bounds = [n_rows * place // n_parts for place in range(n_parts + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def _members(offsets: Integers, rows: slice) -> tuple[slice, Integers]:
    """Institutions with rows in a part, and where in the part theirs begin and end."""
    first = max(int(np.searchsorted(offsets, rows.start, side="right")) - 1, 0)
    last = max(int(np.searchsorted(offsets, rows.stop, side="left")), first + 1)
    bounds = np.clip(offsets[first : last + 1], rows.start, rows.stop) - rows.start
    return slice(first, min(last, len(offsets) - 1)), bounds


_Array = TypeVar("_Array", bound=np.ndarray[tuple[int, ...], np.dtype[np.generic]])


def _plain(array: _Array) -> _Array:
    """In C order, as a copy if need be."""
    return cast("_Array", np.ascontiguousarray(array))
