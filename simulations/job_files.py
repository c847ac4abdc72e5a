"""A simulated federation as the files of a deployment: JOB.yaml for the coordinator, SITE.yaml for each institution.

An institution's table is written from its cells: one value inside each cell, which its custodian quantises back to the
same cell. Everything is declared public, since only a public table can be dealt to institutions in a simulation.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary, Feature, Group
from fedcredit.planning import accountant_for
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from simulations.federation import COORDINATOR, Federation, Institution, allowed_modules

_TARGET, _ROLE = "bad", "role"
_DATA_KEY = bytes(32)  # roles are declared in the table, so nothing is drawn from it


def write_job(federation: Federation, folder: Path, kept: Path) -> Path:
    """Write what the coordinator needs; the path of JOB.yaml.

    Parameters
    ----------
    folder
        Private folder; it gets the coordinator's key.
    kept
        Where the coordinator will keep the job's store and put its results.
    """
    federation.coordinator_key.save(folder / "coordinator.pem")
    (folder / "plan.json").write_bytes(federation.plan.to_bytes())
    _write_yaml(folder / "dictionary.yaml", federation.dictionary.model_dump(mode="json"))
    job = folder / "JOB.yaml"
    fields = {
        "plan": "plan.json",
        "dictionary": "dictionary.yaml",
        "key": "coordinator.pem",
        "store": str(store_path(kept)),
        "results": str(kept / "released"),
    }
    _write_yaml(job, fields)
    return job


def store_path(kept: Path) -> Path:
    """Where the coordinator's store lies."""
    return kept / "job.sqlite"


def write_site(federation: Federation, institution: Institution, folder: Path, ledger: Path, socket: Path) -> Path:
    """Write what one custodian needs and open its ledger; the path of SITE.yaml.

    Parameters
    ----------
    folder
        Private folder of this institution; it gets its key and table.
    ledger, socket
        Where its ledger goes and where it will listen.
    """
    key = federation.keys[institution.id]
    folder.mkdir(parents=True)
    key.save(folder / "identity.pem")
    (folder / "data.key").touch(mode=0o600)
    (folder / "data.key").write_text(_DATA_KEY.hex(), encoding="ascii")
    _write_yaml(folder / "dictionary.yaml", federation.dictionary.model_dump(mode="json"))
    write_roster_file(folder / "roster.yaml", _signed(federation))
    _write_yaml(folder / "mapping.yaml", _mapping(federation.dictionary, institution.kind))
    pq.write_table(_table(federation.dictionary, institution), folder / "table.parquet")
    plan = federation.plan
    accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
    Ledger.create(ledger, key, Account(institution.id, plan.privacy.unit.value, accountant)).close()
    site = folder / "SITE.yaml"
    fields = {
        "institution": institution.id,
        "kind": institution.kind,
        "population": institution.id,
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "identity_key": "identity.pem",
        "modules": allowed_modules(federation.plan),
        "data_key": "data.key",
        "data": {"kind": "parquet", "path": "table.parquet"},
        "mapping": "mapping.yaml",
        "coordinators": {COORDINATOR: federation.coordinator_key.public.hex()},
        "not_private": {"declared": "public"},
        "ledger": str(ledger),
        "socket": str(socket),
    }
    _write_yaml(site, fields)
    return site


def _signed(federation: Federation) -> SignedRoster:
    """The roster with every member's signature: a simulation holds all keys."""
    roster = federation.plan.roster
    return SignedRoster(roster, {name: sign_roster(roster, key) for name, key in federation.keys.items()})


def _mapping(dictionary: DataDictionary, kind: str) -> dict[str, Any]:
    return {
        "features": {feature.name: {"column": feature.name} for feature in dictionary.owned_features(kind)},
        "groups": {group.name: {"column": group.name} for group in dictionary.owned_groups(kind)},
        "target": {"column": _TARGET, "good": ["0"], "bad": ["1"]},
        "split": {"column": _ROLE, "train": ["train"], "evaluate": ["evaluate"]},
    }


def _table(dictionary: DataDictionary, institution: Institution) -> pa.Table:
    data = institution.data
    parts = [
        _part(dictionary, institution.kind, rows, role)
        for rows, role in ((data.train, "train"), (data.evaluate, "evaluate"))
    ]
    return pa.concat_tables(parts)


def _part(dictionary: DataDictionary, kind: str, rows: Rows, role: str) -> pa.Table:
    features = dictionary.owned_features(kind)
    columns = {feature.name: _values(feature, rows.cells[:, index]) for index, feature in enumerate(features)}
    types = [(feature.name, pa.string() if feature.range is None else pa.float64()) for feature in features]
    for index, group in enumerate(dictionary.owned_groups(kind)):
        columns[group.name] = _labels(group, rows, index)
        types.append((group.name, pa.string()))
    schema = pa.schema([*types, (_TARGET, pa.uint8()), (_ROLE, pa.string())])
    return pa.table({**columns, _TARGET: rows.bad.tolist(), _ROLE: [role] * rows.n_rows}, schema)


def _labels(group: Group, rows: Rows, index: int) -> list[str | float | None]:
    """The code of each row's label; training rows have none."""
    if rows.groups is None:
        return [None] * rows.n_rows
    of_cell = [*group.codes, None]
    return [of_cell[cell] for cell in rows.groups[:, index]]


def _values(feature: Feature, cells: NDArray[np.uint16]) -> list[str | float | None]:
    """A value inside each cell; nothing for the missing cell."""
    # A cell holds its lower cut point.
    inside = [*feature.codes] if feature.range is None else [feature.range[0], *map(float, feature.cuts)]
    of_cell: list[str | float | None] = [*inside, None]
    return [of_cell[cell] for cell in cells]


def _write_yaml(path: Path, value: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")
