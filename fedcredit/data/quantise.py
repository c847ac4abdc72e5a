"""From a table to cells and labels, by the dictionary and the institution's mapping.

The verdict depends on names and column types only. A value never raises: unreadable and unknown values go to
the missing cell, values outside the range to the cell at that end, and a row without a good or bad label (or
without an id, where ids count) is marked as taking no part.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import ids, numbers, positions, require_columns
from fedcredit.dictionary.grid import quantise_codes, quantise_numbers
from fedcredit.dictionary.mapping import ColumnMapping, GroupMapping, Mapping, mapping_problems
from fedcredit.dictionary.problems import listed
from fedcredit.dictionary.schema import DataDictionary, Feature, Group
from fedcredit.errors import DictionaryError


@dataclass(frozen=True, slots=True)
class Quantised:
    """One institution's table in cells, all rows, in the table's order.

    Parameters
    ----------
    cells
        Shape (n, J_own): grid cell of each owned feature, in dictionary order.
    bad
        Shape (n,): 1 = bad, 0 = good; 0 where `takes_part` is False.
    takes_part
        Shape (n,): whether the row has a label, and an id where an id column is mapped.
    ids
        Per row the id as bytes; None if no id column is mapped.
    declared_role
        Shape (n,): 0 = train, 1 = evaluate, -1 = neither; None if no split column is mapped.
    groups
        Shape (n, G_owned): cell of each group label that the type holds, in dictionary order; the last one of a group
        that is not mapped. None where the type holds none.
    """

    cells: NDArray[np.uint16]
    bad: NDArray[np.uint8]
    takes_part: NDArray[np.bool_]
    ids: tuple[bytes, ...] | None
    declared_role: NDArray[np.int64] | None
    groups: NDArray[np.uint16] | None = None


def quantise_table(dictionary: DataDictionary, kind: str, mapping: Mapping, table: pa.Table) -> Quantised:
    """Quantise a table.

    Parameters
    ----------
    dictionary, kind
        The contract and the institution's type.
    mapping
        Must serve exactly the owned features.
    table
        Any table with the mapped columns.

    Returns
    -------
    Quantised

    Raises
    ------
    DictionaryError
        The mapping does not fit the dictionary.
    DataError
        A column is missing, or its type cannot hold what its feature is.
    """
    problems = mapping_problems(mapping, dictionary, kind)
    if problems:
        raise DictionaryError(listed("the column mapping", problems))
    require_columns(table.column_names, mapping.columns, "the table")
    cells = [feature_column(f, mapping.features[f.name], table) for f in dictionary.owned_features(kind)]
    label = positions(table, mapping.target.column, (*mapping.target.good, *mapping.target.bad))
    unit_ids = ids(table, mapping.id_column) if mapping.id_column else None
    takes_part = label >= 0
    if unit_ids is not None:
        takes_part &= np.array([bool(unit) for unit in unit_ids], dtype=np.bool_)
    return Quantised(
        cells=np.column_stack(cells),
        bad=(label >= len(mapping.target.good)).astype(np.uint8),
        takes_part=takes_part,
        ids=unit_ids,
        declared_role=_declared_role(mapping, table),
        groups=_group_columns(dictionary.owned_groups(kind), mapping, table),
    )


def feature_column(feature: Feature, entry: ColumnMapping, table: pa.Table) -> NDArray[np.uint16]:
    """Quantise one feature's column; shape (n,)."""
    if feature.range is None:
        return quantise_codes(_code_index(feature.codes, entry, table), len(feature.codes))
    return quantise_numbers(feature_values(feature, entry, table), feature.cuts, *feature.range)


def feature_values(feature: Feature, entry: ColumnMapping, table: pa.Table) -> NDArray[np.float64]:
    """Read a numeric feature in the dictionary's unit; shape (n,), NaN where it is missing."""
    values = numbers(table, entry.column) * entry.scale
    coded = {**dict.fromkeys(feature.missing_codes), **entry.codes}
    # A code that the mapping turns into a missing code of the dictionary is missing too.
    coded = {code: None if to in feature.missing_codes else to for code, to in coded.items()}
    if not coded:
        return values
    where = positions(table, entry.column, tuple(coded))
    becomes = np.array([np.nan if to is None else float(to) for to in coded.values()], dtype=np.float64)
    return np.where(where >= 0, becomes[where], values)


def _group_columns(groups: tuple[Group, ...], mapping: Mapping, table: pa.Table) -> NDArray[np.uint16] | None:
    if not groups:
        return None
    return np.column_stack([_group_column(group, mapping.groups.get(group.name), table) for group in groups])


def _group_column(group: Group, entry: GroupMapping | None, table: pa.Table) -> NDArray[np.uint16]:
    if entry is None:
        return np.full(table.num_rows, group.n_cells - 1, dtype=np.uint16)
    return quantise_codes(_code_index(tuple(group.codes), entry, table), len(group.codes))


def _code_index(codes: tuple[str, ...], entry: ColumnMapping | GroupMapping, table: pa.Table) -> NDArray[np.int64]:
    index = positions(table, entry.column, codes)
    if not entry.codes:
        return index
    # A code that the mapping names means what the mapping says, even if the dictionary has the same code.
    place = {code: i for i, code in enumerate(codes)}
    becomes = np.array([place.get(to or "", -1) for to in entry.codes.values()], dtype=np.int64)
    where = positions(table, entry.column, tuple(entry.codes))
    return np.where(where >= 0, becomes[where], index)


def _declared_role(mapping: Mapping, table: pa.Table) -> NDArray[np.int64] | None:
    if mapping.split is None:
        return None
    split = mapping.split
    place = positions(table, split.column, (*split.train, *split.evaluate))
    return np.where(place < 0, -1, (place >= len(split.train)).astype(np.int64))
