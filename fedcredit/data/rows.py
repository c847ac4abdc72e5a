"""Quantised records: all that models and evaluation ever see of a table.

Kernels take the rows of many institutions at once, concatenated, and return one sum per institution: a
deployed custodian is the case of one institution, a simulation the case of thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.units import Units
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import DataError

_CHECKED_AT_ONCE = 2**16

Cells: TypeAlias = NDArray[np.unsignedinteger]
"""Grid cells, in an unsigned type that holds them: a custodian's are uint16, a simulation takes the smallest."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Quantised records of one or more institutions of one type, rows concatenated.

    Parameters
    ----------
    cells
        Shape (n, J_own): grid cell of each owned feature, in dictionary order.
    bad
        Shape (n,): 1 = bad, 0 = good.
    offsets
        Shape (m + 1,): institution i owns rows ``offsets[i]:offsets[i + 1]``; a custodian has m = 1.
    persons
        Shape (n,): whose row it is, persons counted from 0 and none left out; None where each row is a unit of its own.
    groups
        Shape (n, G_owned): cell of each group label, in dictionary order; evaluation rows only, and None where the type
        holds no label.
    """

    cells: Cells
    bad: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    persons: NDArray[np.int64] | None = None
    groups: NDArray[np.uint16] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows over all institutions."""
        return len(self.bad)

    @property
    def n_institutions(self) -> int:
        """Number of institutions, m."""
        return len(self.offsets) - 1

    @property
    def n_units(self) -> int:
        """Number of units of privacy: persons, or rows where each is one."""
        if self.persons is None:
            return self.n_rows
        return int(self.persons.max()) + 1 if len(self.persons) else 0

    def records_of_unit(self) -> NDArray[np.int64]:
        """Number of rows that each row's unit has, itself included; shape (n,)."""
        if self.persons is None:
            return np.ones(self.n_rows, dtype=np.int64)
        return np.bincount(self.persons, minlength=1)[self.persons]

    def of_units(self, chosen: NDArray[np.bool_]) -> "Rows":
        """All rows of some units, of one institution.

        Parameters
        ----------
        chosen
            Shape (n_units,).
        """
        mask = chosen if self.persons is None else chosen[self.persons]
        persons = None if self.persons is None else (np.cumsum(chosen) - 1)[self.persons[mask]]
        return single(self.cells[mask], self.bad[mask], persons, None if self.groups is None else self.groups[mask])


@dataclass(frozen=True, slots=True)
class Dataset:
    """One institution's rows for a job, split into the two roles.

    Parameters
    ----------
    kind
        Institution type.
    train
        Rows of phases preflight and train, without group labels; one institution.
    evaluate
        Rows of phase evaluate; one institution. No row is in both.
    fingerprint
        Keyed hash of the rows that take part, 32 bytes; freezes the data for a job.
    units
        The units that take part; None where no id says which they are.

    Raises
    ------
    DataError
        If training rows hold group labels, which no model may learn from.
    """

    kind: str
    train: Rows
    evaluate: Rows
    fingerprint: bytes
    units: Units | None = None

    def __post_init__(self) -> None:
        if self.train.groups is not None:
            raise DataError("training rows hold group labels, which are for evaluation only; leave them out.")


def single(
    cells: Cells,
    bad: NDArray[np.uint8],
    persons: NDArray[np.int64] | None = None,
    groups: NDArray[np.uint16] | None = None,
) -> Rows:
    """Return the rows of one institution."""
    return Rows(cells, bad, np.array([0, len(bad)], dtype=np.int64), persons, groups)


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Join the rows of institutions of one type, in the order given.

    Parameters
    ----------
    parts
        At least one; all with the same number of features.

    Returns
    -------
    Rows
        With ``sum(part.n_institutions)`` institutions.

    Raises
    ------
    DataError
        No part, parts of different width, or persons or group labels known in some of them only.
    """
    widths = sorted({part.cells.shape[1] for part in parts})
    if len(widths) != 1:
        raise DataError(f"rows to join must be of one institution type, got widths {widths}; join each type by itself")
    starts = np.concatenate([[0], np.cumsum([part.n_rows for part in parts])[:-1]])
    shifted = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=True)]
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), *shifted]).astype(np.int64)
    cells, bad = np.concatenate([p.cells for p in parts]), np.concatenate([p.bad for p in parts])
    return Rows(cells, bad, offsets, _persons(parts), _groups(parts))


def _persons(parts: Sequence[Rows]) -> NDArray[np.int64] | None:
    """Number the persons of all parts through; nobody is a customer of two institutions."""
    known = [part.persons for part in parts if part.persons is not None]
    if not known:
        return None
    if len(known) != len(parts):
        raise DataError("rows to join must all say whose they are, or none; set the same unit of privacy for each.")
    starts = np.cumsum([0, *(part.n_units for part in parts)])[:-1]
    return np.concatenate([own + start for own, start in zip(known, starts, strict=True)])


def _groups(parts: Sequence[Rows]) -> NDArray[np.uint16] | None:
    known = [part.groups for part in parts if part.groups is not None]
    if known and len(known) != len(parts):
        raise DataError("rows to join must all hold group labels, or none; read each with the same dictionary.")
    return np.concatenate(known) if known else None


def validate_rows(rows: Rows, dictionary: DataDictionary, kind: str) -> None:
    """Check that rows have the form that the dictionary fixes for an institution type.

    Every count that a custodian sends rests on it: a cell beyond its feature's grid would touch a neighbour's
    count.

    Raises
    ------
    DataError
        Wrong dtype, shape, offsets, cell or label.
    """
    n_cells = np.array([f.n_cells for f in dictionary.owned_features(kind)], dtype=np.int64)
    n = rows.bad.shape[0] if rows.bad.ndim == 1 else -1
    if rows.cells.dtype not in (np.uint8, np.uint16) or rows.bad.dtype != np.uint8 or rows.offsets.dtype != np.int64:
        found = f"{rows.cells.dtype}, {rows.bad.dtype}, {rows.offsets.dtype}"
        raise DataError(f"cells, bad and offsets must be uint8 or uint16, uint8 and int64, got {found}")
    if rows.cells.shape != (n, len(n_cells)):
        raise DataError(
            f"cells of a {kind!r} with {n} rows must have shape ({n}, {len(n_cells)}), got {rows.cells.shape}"
        )
    _validate_offsets(rows.offsets, n)
    _validate_persons(rows)
    # Some rows at a time, since cells may lie in a file for want of memory.
    parts = (rows.cells[start : start + _CHECKED_AT_ONCE] for start in range(0, n, _CHECKED_AT_ONCE))
    if any(np.any(part >= n_cells) for part in parts) or np.any(rows.bad > 1):
        raise DataError(
            f"a cell or label lies outside dictionary {dictionary.name!r}; quantise the table with it again"
        )
    _validate_groups(rows, np.array([group.n_cells for group in dictionary.owned_groups(kind)], dtype=np.int64))


def _validate_persons(rows: Rows) -> None:
    persons = rows.persons
    if persons is None:
        return
    if persons.dtype != np.int64 or persons.shape != rows.bad.shape:
        raise DataError(
            f"persons must be int64 of shape {rows.bad.shape}, got {persons.dtype} of shape {persons.shape}."
        )
    if rows.n_units > rows.n_rows or not np.array_equal(np.unique(persons), np.arange(rows.n_units)):
        raise DataError("persons must be counted from 0 with none left out; build rows with `assemble_dataset`.")


def _validate_groups(rows: Rows, n_cells: NDArray[np.int64]) -> None:
    groups = rows.groups
    if groups is None:
        return
    if groups.dtype != np.uint16 or groups.shape != (rows.n_rows, len(n_cells)):
        expected = (rows.n_rows, len(n_cells))
        raise DataError(f"groups must be uint16 of shape {expected}, got {groups.dtype} of shape {groups.shape}.")
    if np.any(groups >= n_cells):
        raise DataError("a group label lies outside its group's codes; quantise the table with the dictionary again.")


def _validate_offsets(offsets: NDArray[np.int64], n: int) -> None:
    if offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != n or np.any(np.diff(offsets) < 0):
        raise DataError(
            f"offsets must rise from 0 to the number of rows {n}; build rows with `single` or `concatenate`"
        )
