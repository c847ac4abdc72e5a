"""An institution on disk: a raw table with the files around it, read by the loader that a deployed custodian uses."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.planning import accountant_for
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from simulations.federation import COORDINATOR, PURPOSE, Federation
from tests import tiny

NAME = "bank-1"
COLUMNS = ("id", "age", "status", "bill", "bad")
DATA_KEY = "5a" * 32
Row = Mapping[str, str]


@dataclass(frozen=True)
class RawSite:
    """The folder of `NAME`, less its table."""

    consortium: Federation
    folder: Path

    def custodian(self, rows: Sequence[Row], kind: str = "csv", *, trail: bool = False) -> Custodian:
        """A custodian of a table, with a new ledger in memory; only one in a folder can have an audit trail."""
        write_table(self.folder / f"rows.{kind}", rows)
        values = yaml.safe_load((self.folder / "SITE.yaml").read_text())
        write_private(self.folder / "SITE.yaml", {**values, "data": {"kind": kind, "path": f"rows.{kind}"}})
        site = load_site(load_site_file(self.folder / "SITE.yaml"))
        if not trail:
            site = replace(site, audit_trail=None)
        plan = self.consortium.plan
        accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
        return Custodian(site, Ledger.create(None, site.key, Account(NAME, plan.privacy.unit.value, accountant)))


def raw_site(consortium: Federation, folder: Path) -> RawSite:
    """Write everything that a site has besides its table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dictionary.yaml").write_bytes(tiny.DICTIONARY)
    consortium.keys[NAME].save(folder / "identity.pem")
    (folder / "data.key").touch(mode=0o600)
    (folder / "data.key").write_text(DATA_KEY)
    roster = consortium.plan.roster
    signatures = {name: sign_roster(roster, key) for name, key in consortium.keys.items()}
    write_roster_file(folder / "roster.yaml", SignedRoster(roster, signatures))
    terms = consortium.plan.privacy
    policy = {
        "epsilon": terms.epsilon,
        "delta": terms.delta,
        "max_epsilon_per_job": terms.epsilon,
        "unit": terms.unit.value,
        "max_records_per_person": terms.max_records_per_person,
        "placements": ["local", "distributed"],
        "purposes": [PURPOSE],
        "min_institutions": 3,
        "min_owners": terms.min_owners,
    }
    write_private(folder / "policy.yaml", policy)
    fields = {
        "institution": NAME,
        "kind": "bank",
        "population": NAME,
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "identity_key": "identity.pem",
        "data_key": "data.key",
        "data": {"kind": "csv", "path": "rows.csv"},
        "coordinators": {COORDINATOR: consortium.coordinator_key.public.hex()},
        "policy": "policy.yaml",
        "ledger": "ledger.sqlite",
        "socket": "c.sock",
    }
    write_private(folder / "SITE.yaml", fields)
    return RawSite(consortium, folder)


def write_private(path: Path, values: Mapping[str, object]) -> None:
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(dict(values)))


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """A CSV or Parquet file of text columns."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([row[name] for name in COLUMNS] for row in rows)
        return
    columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in COLUMNS}
    parquet.write_table(pa.table(columns), path)


def plain_rows(n: int, seed: int = 3, first: int = 0) -> list[Row]:
    """Rows as a bank's table holds them."""
    generator = np.random.default_rng(seed)
    return [
        {
            "id": f"c{first + index}",
            "age": str(generator.integers(18, 81)),
            "status": str(generator.integers(-2, 9)),
            "bill": f"{generator.lognormal(7, 2):.2f}",
            "bad": str(int(generator.random() < 0.3)),
        }
        for index in range(n)
    ]
