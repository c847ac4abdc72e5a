"""The table of a simulation: the UCI data of the wheel or a user's own file, checked, quantised and dealt.

The institution's own check runs here, before any custodian exists, on the researcher's console.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.quantise import Quantised, quantise_table
from fedcredit.data.roles import content_fingerprint
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.data.sources import Source, TableSource, open_source, spec_of
from fedcredit.data.uci import as_groups, load_uci, uci_dictionary
from fedcredit.dictionary.check import check_table
from fedcredit.dictionary.mapping import identity_mapping, load_mapping
from fedcredit.dictionary.schema import DataDictionary, InstitutionType, load_dictionary
from fedcredit.errors import CheckError, ConfigError
from simulations.federation import Institution
from simulations.partition import Part, PooledTable
from simulations.resampling import resampled

POOLED = "pooled"
_KEY = b"simulated institution key (not secret)"


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Which table.

    ``uci_credit``, ``uci_credit_flat``, ``uci_credit_groups`` (sex and marriage are group labels, no features),
    ``uci_resampled`` to a number of rows by a seed, or ``file`` with a path, a dictionary and perhaps a mapping.
    ``synthetic`` is drawn, not read: `simulations.population`.
    """

    source: str
    path: str | None = None
    dictionary: Path | None = None
    mapping: Path | None = None
    split_column: str | None = None
    unit: str = "record"
    max_records_per_person: int = 1
    rows: int | None = None
    seed: int = 0


def load(spec: DataSpec) -> tuple[DataDictionary, PooledTable]:
    """Read, check and quantise the whole table; under unit person, no person has more rows than the cap.

    Raises
    ------
    CheckError
        With every problem that the check found.
    ConfigError
        If the source is unknown, or a path is missing.
    """
    dictionary, source = _open(spec)
    pooled = pooled_dictionary(dictionary)
    mapping = identity_mapping(pooled, POOLED) if spec.mapping is None else load_mapping(spec.mapping)
    problems = check_table(pooled, POOLED, mapping, source, unit=spec.unit, cap=spec.max_records_per_person)
    if problems:
        raise CheckError(problems)
    quantised = quantise_table(pooled, POOLED, mapping, source.read(mapping.columns))
    table = _pool(spec, source, quantised)
    return dictionary, table if spec.rows is None else resampled(table, spec.rows, spec.seed)


def pooled_dictionary(dictionary: DataDictionary, blocks: tuple[str, ...] | None = None) -> DataDictionary:
    """The same features under one institution type that owns `blocks` (all by default): the pooled ceiling."""
    any_type = next(iter(dictionary.institution_types.values()))
    owner = InstitutionType(owns=blocks or dictionary.blocks, target=any_type.target, id_column=any_type.id_column)
    owned = set(owner.owns)
    return DataDictionary.model_validate(
        {
            **dictionary.model_dump(),
            "blocks": owner.owns,
            "institution_types": {POOLED: owner.model_dump()},
            "features": [feature.model_dump() for feature in dictionary.features if feature.block in owned],
            "groups": [{**group.model_dump(), "owners": (POOLED,)} for group in dictionary.groups],
        }
    )


def institutions_of(
    dictionary: DataDictionary,
    table: PooledTable,
    parts: list[Part],
    names: list[tuple[str, str]],
    *,
    fingerprints: bool = True,
) -> tuple[Institution, ...]:
    """Hand each institution its rows, with the columns that its type owns.

    Parameters
    ----------
    fingerprints
        Whether each data set says what it holds, by which a ledger freezes it; else it is 32 zero bytes.

    Raises
    ------
    ConfigError
        If the dictionary does not know one of the types.
    """
    strangers = [kind for _, kind in names if kind not in dictionary.kinds]
    if strangers:
        known = ", ".join(dictionary.kinds)
        raise ConfigError(
            f"dictionary {dictionary.name!r} has no institution type {strangers[0]!r}, only {known}; "
            f"set federation.{strangers[0]}s=0 or declare the type."
        )
    owned = {kind: _owned(dictionary, kind) for kind in {kind for _, kind in names}}
    return tuple(
        Institution(name, kind, _dataset(table, part, kind, owned[kind], fingerprints=fingerprints))
        for (name, kind), part in zip(names, parts, strict=True)
    )


def rows_of(dictionary: DataDictionary, table: PooledTable, rows: NDArray[np.int64], kind: str) -> Rows:
    """Some rows of the table, with the columns that a type owns."""
    return _rows(table, rows, _owned(dictionary, kind))


@dataclass(frozen=True, slots=True)
class _Owned:
    """Columns of the table that a type holds."""

    features: list[int]
    groups: list[int]


def _owned(dictionary: DataDictionary, kind: str) -> _Owned:
    groups = [dictionary.groups.index(group) for group in dictionary.owned_groups(kind)]
    return _Owned(list(dictionary.owned(kind)), groups)


def _rows(table: PooledTable, rows: NDArray[np.int64], owned: _Owned) -> Rows:
    persons = None
    if table.per_person:
        ids = np.array(table.ids_of(rows), dtype=np.object_)
        persons = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    return single(np.ascontiguousarray(table.cells[rows][:, owned.features]), table.bad[rows], persons)


def _with_groups(table: PooledTable, rows: NDArray[np.int64], owned: _Owned) -> Rows:
    """Rows of phase evaluate: the same with the group labels that the type holds."""
    plain = _rows(table, rows, owned)
    if table.groups is None or not owned.groups:
        return plain
    return replace(plain, groups=np.ascontiguousarray(table.groups[rows][:, owned.groups]))


def _open(spec: DataSpec) -> tuple[DataDictionary, Source]:
    match spec.source:
        case "uci_credit":
            return uci_dictionary(), TableSource(load_uci())
        case "uci_credit_flat" | "uci_resampled":
            return uci_dictionary(flat=True), TableSource(load_uci())
        case "uci_credit_groups":
            return as_groups(uci_dictionary(), ("sex", "marriage")), TableSource(load_uci())
        case "file" if spec.path is not None and spec.dictionary is not None:
            return load_dictionary(spec.dictionary), open_source(spec_of(spec.path))
        case "synthetic":
            raise ConfigError("data=synthetic has no table to read; its populations run with runtime=in_process.")
        case "file":
            raise ConfigError("data=file needs data.path and data.dictionary.")
        case other:
            raise ConfigError(
                f"data.source={other!r} is unknown; choose uci_credit, uci_credit_flat, uci_credit_groups, "
                "uci_resampled, file or synthetic."
            )


def _pool(spec: DataSpec, source: Source, quantised: Quantised) -> PooledTable:
    part = np.flatnonzero(quantised.takes_part)
    ids = quantised.ids or tuple(str(index).encode() for index in range(len(quantised.bad)))
    column = None
    if spec.split_column is not None:
        column = np.array(source.read([spec.split_column]).column(0).to_pylist(), dtype=np.object_)[part]
    own = tuple(ids[index] for index in part)
    groups = None if quantised.groups is None else quantised.groups[part]
    return PooledTable(quantised.cells[part], quantised.bad[part], own, column, spec.unit == "person", groups)


def _dataset(table: PooledTable, part: Part, kind: str, owned: _Owned, *, fingerprints: bool) -> Dataset:
    train, evaluate = _rows(table, part.train, owned), _with_groups(table, part.test, owned)
    if not fingerprints:
        return Dataset(kind, train, evaluate, bytes(32))
    everything = np.concatenate([part.train, part.test])
    both = _rows(table, everything, owned)
    return Dataset(kind, train, evaluate, content_fingerprint(_KEY, both.cells, both.bad, table.ids_of(everything)))
