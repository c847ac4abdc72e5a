"""An institution's own check of its table against the dictionary, before it joins anything.

This is the one place that looks at values and labels and says what it saw: on the institution's own console,
as counts, never as a record's value. Inside a job the same faults change nothing but the cell in which a
record is counted.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import blank, ids, numbers, positions
from fedcredit.data.quantise import feature_values
from fedcredit.data.sources import Source
from fedcredit.dictionary.mapping import ColumnMapping, GroupMapping, Mapping, mapping_problems
from fedcredit.dictionary.schema import DataDictionary, Feature, Group
from fedcredit.errors import DataError

TOLERATED_SHARE = 0.01
"""Up to this share of odd values a column gets a note, above it a problem."""

_UNIT_SLIPS = {10.0: "× 10", 100.0: "× 100", 1000.0: "× 1000", 12.0: "× 12", 30.0: "× 30"}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found; one sentence each.

    Parameters
    ----------
    problems
        To be put right before the table is used.
    notes
        Worth a look.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check_table(
    dictionary: DataDictionary,
    kind: str,
    mapping: Mapping,
    source: Source,
    *,
    unit: str = "record",
    cap: int = 1,
) -> list[str]:
    """List every problem of a table; see `examine_table`, which adds notes."""
    return list(examine_table(dictionary, kind, mapping, source, unit=unit, cap=cap).problems)


def examine_table(
    dictionary: DataDictionary,
    kind: str,
    mapping: Mapping,
    source: Source,
    *,
    unit: str = "record",
    cap: int = 1,
) -> Findings:
    """Find everything that is wrong with a table, or odd about it, at once.

    Parameters
    ----------
    dictionary, kind, mapping
        The contract, the institution's type and its column mapping.
    source
        The table; only mapped columns are read.
    unit
        Privacy unit, ``record`` or ``person``.
    cap
        Rows kept per person under unit person.

    Returns
    -------
    Findings
    """
    problems = mapping_problems(mapping, dictionary, kind)
    notes: list[str] = []
    if unit == "person" and mapping.id_column is None:
        problems.append("unit person needs the column with the person's id; set id_column in the mapping")
    try:
        types = source.column_types()
        present = [column for column in mapping.columns if column in types]
        missing = [column for column in mapping.columns if column not in types]
        problems += [f"the column {column!r} is missing; add it or map another" for column in missing]
        table = source.read(present) if present else None
    except DataError as fault:
        return Findings((*problems, str(fault)), ())
    if table is not None:
        found = _value_findings(dictionary, kind, mapping, table)
        found += _label_findings(mapping, table) + _id_findings(mapping, table, unit, cap)
        problems += [text for serious, text in found if serious]
        notes += [text for serious, text in found if not serious]
    return Findings(tuple(problems), tuple(notes))


_Found = list[tuple[bool, str]]


def _value_findings(dictionary: DataDictionary, kind: str, mapping: Mapping, table: pa.Table) -> _Found:
    out: _Found = []
    for feature in dictionary.owned_features(kind):
        entry = mapping.features.get(feature.name)
        if entry is None or entry.column not in table.column_names:
            continue
        try:
            found = _number_findings if feature.range is not None else _category_findings
            out += [(serious, f"{entry.column}: {text}") for serious, text in found(feature, entry, table)]
        except DataError as fault:
            out.append((True, str(fault)))
    return out + _group_findings(dictionary.owned_groups(kind), mapping, table)


def _group_findings(groups: tuple[Group, ...], mapping: Mapping, table: pa.Table) -> _Found:
    out: _Found = []
    for group in groups:
        entry = mapping.groups.get(group.name)
        if entry is None or entry.column not in table.column_names:
            continue
        try:
            found = _code_findings(tuple(group.codes), group.missing_codes, entry, table)
            out += [(serious, f"{entry.column}: {text}") for serious, text in found]
        except DataError as fault:
            out.append((True, str(fault)))
    return out


def _number_findings(feature: Feature, entry: ColumnMapping, table: pa.Table) -> _Found:
    low, high = feature.range or (0.0, 0.0)
    unread = np.isnan(numbers(table, entry.column))
    if unread.any():
        unread &= ~blank(table, entry.column)
        unread &= positions(table, entry.column, (*entry.codes, *feature.missing_codes)) < 0
    values = feature_values(feature, entry, table)
    known = values[np.isfinite(values)]
    outside = (known < low) | (known > high)
    out = _all_missing(len(known), len(values))
    out += _share(unread, "cannot be read as numbers and count as missing; correct them or map their codes")
    limits = f"[{low:g}, {high:g}] {feature.unit}".strip()
    out += _share(outside, f"lie outside {limits} and count in the outer cells; check unit, scale and missing codes")
    if feature.type == "integer":
        fractions = known != np.floor(known)
        out += _share(fractions, "are no whole numbers and are rounded down; check the column or the type")
    return out + _unit_findings(known, outside, low, high) + _missing_code_findings(known[outside], len(values))


def _unit_findings(known: NDArray[np.float64], outside: NDArray[np.bool_], low: float, high: float) -> _Found:
    """Suspect a unit when a usual factor explains a column outside, or huddled in, its range."""
    if len(known) == 0:
        return []
    if outside.mean() > 0.2:
        for factor, text in _UNIT_SLIPS.items():
            scaled = known / factor
            if ((scaled < low) | (scaled > high)).mean() <= TOLERATED_SHARE:
                return [
                    (
                        True,
                        f"the values fit the range when divided by {factor:g}: unit slip ({text})? set scale",
                    )
                ]
    size = np.quantile(np.abs(known), 0.99)
    if 0 < size * 500 < max(abs(low), abs(high)):
        return [(True, "99 % of the values are below 1/500 of the range's size: another unit? set scale")]
    return []


def _missing_code_findings(outside: NDArray[np.float64], n: int) -> _Found:
    """Suspect a missing code when one value outside the range is frequent."""
    if len(outside) == 0:
        return []
    most = int(np.unique(outside, return_counts=True)[1].max())
    if most <= 1 or most < 0.002 * n:
        return []
    return [(False, f"one value outside the range stands {most} times: a missing code? declare it in codes")]


def _category_findings(feature: Feature, entry: ColumnMapping, table: pa.Table) -> _Found:
    return _code_findings(feature.codes, feature.missing_codes, entry, table)


def _code_findings(
    codes: tuple[str, ...], missing_codes: tuple[str, ...], entry: ColumnMapping | GroupMapping, table: pa.Table
) -> _Found:
    known = positions(table, entry.column, (*entry.codes, *missing_codes, *codes)) >= 0
    unknown = ~known & ~blank(table, entry.column)
    used = positions(table, entry.column, (*entry.codes, *codes)) >= 0
    text = "have codes that the dictionary does not know and count as missing; map them under codes"
    return _all_missing(int(used.sum()), len(used)) + _share(unknown, text)


def _label_findings(mapping: Mapping, table: pa.Table) -> _Found:
    target = mapping.target
    if target.column not in table.column_names:
        return []
    try:
        label = positions(table, target.column, (*target.good, *target.bad))
    except DataError as fault:
        return [(True, str(fault))]
    codes = f"good ({', '.join(target.good)}) nor bad ({', '.join(target.bad)})"
    unlabelled = int((label < 0).sum())
    n_bad = int((label >= len(target.good)).sum())
    n_good = len(label) - unlabelled - n_bad
    out: _Found = []
    if unlabelled:
        text = f"{target.column}: {unlabelled} of {len(label)} labels are neither {codes} and take no part"
        out.append((True, f"{text}: correct them or map their codes"))
    if n_good + n_bad and not (n_good and n_bad):
        only = "good" if n_good else "bad"
        out.append((True, f"{target.column}: every labelled row is {only}; check the target and its codes"))
    return out


def _id_findings(mapping: Mapping, table: pa.Table, unit: str, cap: int) -> _Found:
    column = mapping.id_column
    if column is None or column not in table.column_names:
        return []
    try:
        units = np.array(ids(table, column), dtype=np.object_)
    except DataError as fault:
        return [(True, str(fault))]
    named = units[units != b""]
    counts = np.unique(named, return_counts=True)[1]
    limit = cap if unit == "person" else 1
    many, extra = int((counts > limit).sum()), int((counts - limit).clip(min=0).sum())
    out: _Found = []
    if len(named) < len(units):
        out.append((True, f"{column}: {len(units) - len(named)} rows have no id and take no part; fill it in"))
    if many and unit == "person":
        text = f"{column}: {many} persons have more than {cap} rows; {extra} rows beyond the cap take no part"
        out.append((True, f"{text}: merge them or raise max_records_per_person"))
    elif many:
        out.append(
            (
                False,
                f"{column}: {many} ids stand more than once; under unit record each row is protected alone",
            )
        )
    return out


def _share(odd: NDArray[np.bool_], text: str) -> _Found:
    count = int(odd.sum())
    if count == 0:
        return []
    share = count / len(odd)
    return [(share > TOLERATED_SHARE, f"{count} of {len(odd)} values ({share:.2%}) {text}")]


def _all_missing(n_known: int, n: int) -> _Found:
    return [(True, f"all {n} values are missing; check the column and its codes")] if n_known == 0 else []
