"""The sums of `binned_numpy` and counts of `class_counts`, compiled for this machine: the same integers, sooner.

Everything is whole numbers: a margin is a sum of table entries, a residual a look-up, so no order of operations and no
compiler can change a digit. NumPy walks through memory once a feature; here a record is read once, and what it adds to
lies in the processor's first cache. Rows may be mapped from a file: they are read in order, a part at a time.

Threads are the caller's: as many as there are processors, each on a part of the rows, with sums of its own.

Compiled when first called and kept beside this file or in the user's cache, to be trusted as Python's own bytecode.
Needs the extra `fast`.

References
----------
Lam, Pitrou, Seibert, "Numba: a LLVM-based Python JIT compiler", LLVM-HPC 2015.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_spec import MARGIN_LIMIT

Integers = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., object])

# Below so many table look-ups, a thread costs more than it saves.
_LOOKUPS_OF_A_THREAD = 2**17
# Parts per thread, so that one which is slower does not keep the other waiting; and the largest, in look-ups, so that
# of rows in a mapped file few are copied at a time.
_PARTS_OF_A_THREAD = 4
_LOOKUPS_OF_A_PART = 2**24


class _Tables(NamedTuple):
    """`BinnedTables` and the residual table, in the types that the compiled code reads fastest."""

    starts: NDArray[np.uint64]
    weights: NDArray[np.int32]
    places: Integers
    intercept: int
    intercept_place: int
    residuals: NDArray[np.int16]


def _flat(tables: BinnedTables, scale: int) -> _Tables:
    return _Tables(
        tables.starts[:-1].astype(np.uint64),
        tables.weights.astype(np.int32),
        tables.places,
        tables.intercept,
        tables.intercept_place,
        residual_table(scale).astype(np.int16),
    )


def margins(tables: BinnedTables, cells: Cells) -> Integers:
    """A `fedcredit.models.binned_kernel.Margins`."""
    found = np.empty(len(cells), dtype=np.int64)
    starts, weights = tables.starts[:-1].astype(np.uint64), tables.weights.astype(np.int32)
    own = np.asarray(cells)

    def part(rows: slice) -> None:
        _margins(_plain(own[rows]), starts, weights, tables.intercept, found[rows])

    _in_threads(part, _parts(*own.shape))
    return found


def residual_sums(
    tables: BinnedTables, scale: int, cells: Cells, bad: NDArray[np.uint8], offsets: Integers
) -> Integers:
    """A `fedcredit.models.binned_kernel.ResidualSums`."""
    flat, own = _flat(tables, scale), np.asarray(cells)

    def part(rows: slice) -> tuple[slice, Integers]:
        members, bounds = _members(offsets, rows)
        sums = np.zeros((len(bounds) - 1, tables.length), dtype=np.int64)
        _residual_sums(flat, _plain(own[rows]), _plain(bad[rows]), bounds, sums)
        return members, sums

    return _added(part, own, offsets, tables.length)


def class_counts(n_cells: tuple[int, ...], cells: Cells, bad: NDArray[np.uint8], offsets: Integers) -> Integers:
    """A `fedcredit.models.class_counts.ClassCounts`."""
    starts = 2 * np.cumsum([0, *n_cells], dtype=np.uint64)
    own, length = np.asarray(cells), int(starts[-1])

    def part(rows: slice) -> tuple[slice, Integers]:
        members, bounds = _members(offsets, rows)
        counts = np.zeros((len(bounds) - 1, length), dtype=np.int64)
        _class_counts(_plain(own[rows]), _plain(bad[rows]), bounds, starts[:-1], counts)
        return members, counts

    return _added(part, own, offsets, length)


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
    """In C order and writable, as a copy if need be: then the types are always those that were compiled."""
    return cast("_Array", np.require(array, requirements=["C", "W"]))


def _compiled(function: _Function) -> _Function:
    """Without the interpreter's lock, so that threads run side by side."""
    return cast("_Function", njit(cache=True, nogil=True)(function))


@_compiled
def _margins(
    cells: Cells, starts: NDArray[np.uint64], weights: NDArray[np.int32], intercept: int, found: Integers
) -> None:
    for row in range(len(cells)):
        total = intercept
        for column in range(len(starts)):
            total += weights[starts[column] + cells[row, column]]
        found[row] = total


@_compiled
def _residual_sums(tables: _Tables, cells: Cells, bad: NDArray[np.uint8], bounds: Integers, sums: Integers) -> None:
    """Residuals are added up by cell first: that spares each record a look-up of its coordinates."""
    starts, weights, limit = tables.starts, tables.weights, np.int64(MARGIN_LIMIT)
    at, by_cell = np.empty(len(starts), np.uint64), np.zeros(len(weights), np.int64)
    for institution in range(len(bounds) - 1):
        by_cell[:] = 0
        total = np.int64(0)
        for row in range(bounds[institution], bounds[institution + 1]):
            margin = np.int64(tables.intercept)
            for column in range(len(starts)):
                cell = starts[column] + cells[row, column]
                at[column] = cell
                margin += weights[cell]
            residual = np.int64(tables.residuals[bad[row], min(max(margin, -limit), limit) + limit])
            total += residual
            for column in range(len(at)):
                by_cell[at[column]] += residual
        for cell in range(len(by_cell)):
            sums[institution, tables.places[cell]] += by_cell[cell]
        sums[institution, tables.intercept_place] += total


@_compiled
def _class_counts(
    cells: Cells, bad: NDArray[np.uint8], bounds: Integers, starts: NDArray[np.uint64], counts: Integers
) -> None:
    two = np.uint64(2)
    for institution in range(len(bounds) - 1):
        own = counts[institution]
        for row in range(bounds[institution], bounds[institution + 1]):
            for column in range(len(starts)):
                own[starts[column] + two * np.uint64(cells[row, column]) + np.uint64(bad[row])] += 1
