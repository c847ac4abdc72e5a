"""One institution's rows for a job from a table that is read a part at a time; the cells go to files.

The same rows in the same order, the same roles, fingerprint and units as `fedcredit.data.dataset` gives of the whole
table. What stays in memory grows with the rows, not with rows times columns: a label, 32 bytes of the fingerprint and
16 of the unit each. Persons with several rows are for `fedcredit.data.persons_in_parts`.
"""

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.cell_files import CellFiles, append, mapped
from fedcredit.data.dataset import roles_of
from fedcredit.data.quantise import Quantised
from fedcredit.data.roles import fingerprint_of, row_digests
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.data.units import unit_hashes, units_of
from fedcredit.errors import DataError


def assemble_in_parts(
    parts: Iterable[Quantised], kind: str, files: CellFiles, *, key: bytes, evaluation_fraction: float
) -> Dataset:
    """Select and split the rows of one institution, whose unit is the record.

    Parameters
    ----------
    parts
        The whole table, in its order; at least one.
    files
        Empty; take the cells of both roles, and stay mapped.
    kind, key, evaluation_fraction
        As for `fedcredit.data.dataset.assemble_dataset`.

    Returns
    -------
    Dataset
        Its cells are mapped, and read-only.

    Raises
    ------
    DataError
        No id column is mapped although the split needs one.
    ConfigError
        If the disk is full.
    """
    train, evaluate = _Role(files.train), _Role(files.evaluate)
    digests, units, has_ids, width = bytearray(), bytearray(), True, 0
    for quantised in parts:
        ids, groups = quantised.ids, quantised.groups
        if ids is None and quantised.declared_role is None:
            raise DataError("the mapping names no id column, which roles need; set id_column")
        part = np.flatnonzero(quantised.takes_part)
        role = roles_of(quantised, part, key, evaluation_fraction)
        part, role = part[role >= 0], role[role >= 0]
        used = None if ids is None else [ids[i] for i in part]
        taken = None if groups is None else groups[part]
        digests += row_digests(key, quantised.cells[part], quantised.bad[part], used, taken)
        units += unit_hashes(set(used or ()), key)
        has_ids, width = ids is not None, quantised.cells.shape[1]
        train.take(quantised, part[role == 0], with_groups=False)
        evaluate.take(quantised, part[role == 1], with_groups=True)
    return Dataset(
        kind=kind,
        train=train.rows(width),
        evaluate=evaluate.rows(width),
        fingerprint=fingerprint_of(key, np.frombuffer(digests, dtype="S32")),
        units=units_of(units, key) if has_ids else None,
    )


class _Role:
    """The rows of one role so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bad: list[NDArray[np.uint8]] = []
        self._groups: list[NDArray[np.uint16]] = []

    def take(self, quantised: Quantised, chosen: NDArray[np.int64], *, with_groups: bool) -> None:
        append(self._file, quantised.cells[chosen])
        self._bad.append(quantised.bad[chosen])
        if with_groups and quantised.groups is not None:
            self._groups.append(quantised.groups[chosen])

    def rows(self, width: int) -> Rows:
        bad = np.concatenate(self._bad)
        groups = np.concatenate(self._groups) if self._groups else None
        return single(mapped(self._file, len(bad), width), bad, groups=groups)
