"""The rows of persons, at most k of each, from a table that is read a part at a time; the cells go to files.

Which rows of a person stay depends on all of that person's rows, wherever in the table they stand. So the cells of
every row that might take part are first spilt to a file, and dealt to the files of the roles when all ids are known.
The same data as `fedcredit.data.dataset` gives of the whole table; in memory stay an id and some 60 bytes of each row.
"""

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.cell_files import CellFiles, append, mapped
from fedcredit.data.dataset import roles_of
from fedcredit.data.quantise import Quantised
from fedcredit.data.roles import content_order, fingerprint_of, first_of_each, row_digests
from fedcredit.data.rows import Dataset, single
from fedcredit.data.units import unit_hashes, units_of
from fedcredit.errors import DataError

_ROWS_AT_ONCE = 100_000


def assemble_persons_in_parts(
    parts: Iterable[Quantised],
    kind: str,
    files: CellFiles,
    spill: BinaryIO,
    *,
    key: bytes,
    evaluation_fraction: float,
    person_cap: int,
) -> Dataset:
    """Select and split the rows of one institution, whose unit is the person.

    Parameters
    ----------
    parts
        The whole table, in its order; at least one.
    files
        Empty; take the cells of both roles, and stay mapped.
    spill
        Empty; takes the cells of all rows, and may be closed afterwards.
    kind, key, evaluation_fraction, person_cap
        As for `fedcredit.data.dataset.assemble_dataset`.

    Returns
    -------
    Dataset
        Its cells are mapped, and read-only.

    Raises
    ------
    DataError
        No id column is mapped.
    ConfigError
        If the disk is full, or the cap below 1.
    """
    seen = _Seen(spill)
    for quantised in parts:
        seen.take(quantised, key, evaluation_fraction)
    person, role = _numbered(seen.ids), np.concatenate(seen.role)
    kept = first_of_each(person, np.concatenate(seen.order), person_cap) & (role >= 0)
    masks = (kept & (role == 0), kept & (role == 1))
    _deal(mapped(spill, len(role), seen.width), files, masks)
    bad = np.concatenate(seen.bad)
    labels = (None, np.concatenate(seen.groups)[masks[1]] if seen.groups else None)
    train, evaluate = (
        single(mapped(file, int(mask.sum()), seen.width), bad[mask], _from_zero(person[mask]), own)
        for file, mask, own in zip((files.train, files.evaluate), masks, labels, strict=True)
    )
    # One after the other, and the first is gone before the second is begun: both are large.
    fingerprint = fingerprint_of(key, _of_kept(seen.digests, "S32", kept))
    seen.digests = bytearray()
    units = units_of(_of_kept(seen.units, "S16", kept).data, key)
    return Dataset(kind=kind, train=train, evaluate=evaluate, fingerprint=fingerprint, units=units)


def _of_kept(hashes: bytearray, dtype: str, kept: NDArray[np.bool_]) -> NDArray[np.bytes_]:
    """The hashes of the kept rows; where they lie if these are all."""
    found: NDArray[np.bytes_] = np.frombuffer(hashes, dtype=dtype)
    return found if kept.all() else found[kept]


class _Seen:
    """What is known of each row that has a label and an id, in the table's order."""

    def __init__(self, spill: BinaryIO) -> None:
        self._spill = spill
        self.width = 0
        self.ids: list[pa.Array] = []
        self.bad: list[NDArray[np.uint8]] = []
        self.groups: list[NDArray[np.uint16]] = []
        self.role: list[NDArray[np.int8]] = []
        self.order: list[NDArray[np.uint64]] = []
        self.digests, self.units = bytearray(), bytearray()

    def take(self, quantised: Quantised, key: bytes, fraction: float) -> None:
        """Add the rows of a part."""
        if quantised.ids is None:
            raise DataError("the mapping names no id column, which the person unit needs; set id_column")
        part = np.flatnonzero(quantised.takes_part)
        ids = [quantised.ids[i] for i in part]
        cells, bad = quantised.cells[part], quantised.bad[part]
        groups = None if quantised.groups is None else quantised.groups[part]
        append(self._spill, cells)
        self.width = cells.shape[1]
        self.ids.append(pa.array(ids, pa.large_binary()))
        self.bad.append(bad)
        if groups is not None:
            self.groups.append(groups)
        self.role.append(roles_of(quantised, part, key, fraction).astype(np.int8))
        self.order.append(content_order(key, ids, cells, bad))
        self.digests += row_digests(key, cells, bad, ids, groups)
        self.units += unit_hashes(ids, key)


def _numbered(ids: list[pa.Array]) -> NDArray[np.int64]:
    """Number of each row's person, by the order of the ids' bytes; shape (n,). Takes the ids away."""
    whole: Any = pa.chunked_array(ids, pa.large_binary()).combine_chunks()
    ids.clear()
    order = pc.sort_indices(whole)
    ranked = pc.take(whole, order)
    number = np.zeros(len(ranked), dtype=np.int64)
    number[1:] = np.cumsum(pc.not_equal(ranked[1:], ranked[:-1]).to_numpy(zero_copy_only=False))
    person = np.empty_like(number)
    person[order.to_numpy()] = number
    return person


def _from_zero(person: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(person, return_inverse=True)[1].astype(np.int64)


def _deal(cells: NDArray[np.unsignedinteger], files: CellFiles, masks: Sequence[NDArray[np.bool_]]) -> None:
    """Copy the chosen rows to the file of their role, in order."""
    for start in range(0, len(cells), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        for file, mask in zip((files.train, files.evaluate), masks, strict=True):
            append(file, cells[part][mask[part]])
