"""From the columns of a table to what the kernel scores, and flags for every input that is not as the contract says.

Values are read by the same code as in training. What training puts quietly into the nearest cell is said here: a
number outside the declared range, an unknown code, a text that is no number. Each flag is a label and the rows that
it is for, since few rows have any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import blank, positions
from fedcredit.data.quantise import feature_column, feature_values
from fedcredit.dictionary.mapping import ColumnMapping, Mapping, identity_mapping, mapping_problems
from fedcredit.dictionary.problems import listed
from fedcredit.dictionary.schema import Feature
from fedcredit.errors import DataError, DictionaryError
from fedcredit.scoring.card import ScoringCard
from fedcredit.scoring.kernel import Column

Flag = tuple[str, NDArray[np.int64]]
"""A label, and the rows that it is for, increasing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where each feature of a card is read from.

    Attributes
    ----------
    entries
        Per feature of the card its column; None where its whole block is not in the table.
    id_column
        Column that names the customer, or None.
    absent
        Blocks that are not in the table.
    """

    card: ScoringCard
    entries: tuple[ColumnMapping | None, ...]
    id_column: str | None
    absent: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Every column that is read, each once."""
        names = [entry.column for entry in self.entries if entry is not None]
        return list(dict.fromkeys(names + ([self.id_column] if self.id_column else [])))


def reading_of(card: ScoringCard, mapping: Mapping | None, have: Sequence[str]) -> Reading:
    """Settle what is read; a block of which nothing is mapped (or nothing is in the table) is absent.

    Parameters
    ----------
    mapping
        The institution's declaration; None for columns that are called as the features.
    have
        The table's columns.

    Raises
    ------
    DictionaryError
        The mapping does not fit the dictionary.
    DataError
        No block of the institution type is in the table.
    """
    dictionary = card.package.dictionary
    chosen = mapping or identity_mapping(dictionary, card.view)
    named = chosen.features.keys() & set(dictionary.feature_names)
    if mapping is None:
        named &= set(have)
    there = {table.feature.block for table in card.features if table.feature.name in named}
    absent = tuple(block for block in card.blocks if block not in there)
    if not there:
        raise DataError(f"the table has no column of a {card.view}'s features; give another table, or a --mapping.")
    read = {one.feature.name for one in card.features if one.feature.block in there}
    owned = {feature.name for feature in dictionary.owned_features(card.view)}
    # What is not read needs no column, but the mapping of what is must be right.
    fillers = {name: ColumnMapping(column=name) for name in owned - read - chosen.features.keys()}
    whole = chosen.model_copy(update={"features": {**chosen.features, **fillers}})
    problems = mapping_problems(whole, dictionary, card.view)
    if problems:
        raise DictionaryError(listed("the column mapping", problems))
    entries = tuple(None if one.feature.block in absent else chosen.features[one.feature.name] for one in card.features)
    id_column = chosen.id_column if mapping is not None or chosen.id_column in have else None
    return Reading(card, entries, id_column, absent)


def read_columns(reading: Reading, table: pa.Table) -> tuple[list[Column], list[Flag]]:
    """Columns for the kernel, and the flags of their rows."""
    columns: list[Column] = []
    flags: list[Flag] = []
    for one, entry in zip(reading.card.features, reading.entries, strict=True):
        if entry is None:
            columns.append(None)
            continue
        read = _codes if one.feature.range is None else _numbers
        column, found = read(one.feature, entry, table)
        columns.append(column)
        flags += found
    everybody = np.arange(table.num_rows)
    return columns, flags + [(f"block:{block}", everybody) for block in reading.absent]


def _numbers(feature: Feature, entry: ColumnMapping, table: pa.Table) -> tuple[NDArray[np.float64], list[Flag]]:
    values = feature_values(feature, entry, table)
    low, high = feature.range or (-np.inf, np.inf)
    flags = []
    finite = np.isfinite(values)
    outside = (values < low) | (values > high)
    if not finite.all():
        odd = np.flatnonzero(~finite)
        flags += _flag(f"text:{feature.name}", _said(feature, entry, table, odd, np.isnan(values[odd])))
        outside &= finite
    return values, flags + (_flag(f"range:{feature.name}", np.flatnonzero(outside)) if outside.any() else [])


def _codes(feature: Feature, entry: ColumnMapping, table: pa.Table) -> tuple[NDArray[np.uint16], list[Flag]]:
    cells = feature_column(feature, entry, table)
    odd = np.flatnonzero(cells == feature.missing_cell)
    if not len(odd):
        return cells, []
    return cells, _flag(f"code:{feature.name}", _said(feature, entry, table, odd, np.ones(len(odd), np.bool_)))


def _said(
    feature: Feature, entry: ColumnMapping, table: pa.Table, rows: NDArray[np.int64], nan: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Those of some rows without a usable value where something was said, and not a code for missing."""
    part = table.select([entry.column]).take(rows)
    silent = blank(part, entry.column)
    if pa.types.is_floating(part.schema.field(0).type):
        # A file's own way to say "nothing"; infinity is none.
        silent |= nan & (positions(part, entry.column, ("nan",)) >= 0)
    meant = [code for code, to in entry.codes.items() if to is None or to in feature.missing_codes]
    meant += [code for code in feature.missing_codes if code not in entry.codes]
    if meant:
        silent |= positions(part, entry.column, tuple(meant)) >= 0
    return rows[~silent]


def _flag(label: str, rows: NDArray[np.int64]) -> list[Flag]:
    return [(label, rows)] if len(rows) else []
