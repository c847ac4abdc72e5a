"""A bank and a hospital on disk, each with a site, and a released base model that both have."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.models.family import family_of
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey
from simulations.federation import Institution, found, run_in_process
from tests import tiny
from tests.fedcredit.cli.conftest import POLICY, cli, folder

__all__ = ["cli", "folder"]

PURPOSE = "joint credit scorecard (simulation)"
TOKEN = "linking-2026"
_CONSENT = b"    consent: {column: consent, granted: [linking-2026]}\n"


def consenting_dictionary() -> DataDictionary:
    """The tiny dictionary with a consent column for both types, and a rule for thin files at banks."""
    text = tiny.DICTIONARY.replace(b"    id_column: id\n", b"    id_column: id\n" + _CONSENT)
    rule = b"    owns: [applicant, bank]\n    thin_when_missing: [status, bill]\n"
    return parse_dictionary(text.replace(b"    owns: [applicant, bank]\n", rule))


@dataclass(frozen=True)
class Party:
    """One institution's folder."""

    name: str
    folder: Path
    key: SigningKey

    @property
    def site(self) -> Path:
        return self.folder / "SITE.yaml"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite"

    def rows(self, *lines: str) -> None:
        (self.folder / "rows.csv").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Pair:
    """Both, with what they share."""

    bank: Party
    hospital: Party
    model: Path
    pair_key: Path


@dataclass(frozen=True)
class BaseJob:
    """A finished base job in which paying counts for a lot: its keys, ledgers and released model."""

    keys: Mapping[str, SigningKey]
    ledgers: Path
    released: dict


@pytest.fixture(scope="session")
def base_job(tmp_path_factory) -> BaseJob:
    job, place = tiny.spec(tiny.NONE), tmp_path_factory.mktemp("base")
    federation = found(consenting_dictionary(), _institutions(), job)
    state = run_in_process(federation, job, folder=place).progress.state
    return BaseJob(federation.keys, place / "ledgers", family_of("scorecard").release(state))


def _institutions() -> tuple[Institution, ...]:
    banks = tuple(tiny.institution(f"bank-{seed}", "bank", 400, seed) for seed in (1, 2))
    train, evaluate = (_patients(n, seed) for n, seed in ((400, 3), (100, 4)))
    return (*banks, Institution("hospital-1", "hospital", Dataset("hospital", train, evaluate, bytes(32))))


def _patients(n: int, seed: int) -> Rows:
    """Who pays much is a good risk."""
    cells = tiny.rows("hospital", n, seed).cells
    bad = np.random.default_rng(seed).random(n) < 0.1 + 0.6 * (cells[:, 1] < 4)
    return single(cells, bad.astype(np.uint8))


@pytest.fixture
def released(base_job) -> dict:
    return base_job.released


@pytest.fixture
def pair(folder: Path, base_job: BaseJob, cli: Callable) -> Pair:
    keys = base_job.keys
    members = tuple(
        Member(id=name, kind=name.partition("-")[0], public_size=300, public_key=key.public.hex())
        for name, key in keys.items()
    )
    roster = Roster(version=1, previous=None, expires=date.max, members=members)
    signed = SignedRoster(roster, {name: sign_roster(roster, key) for name, key in keys.items()})
    made = {name: make_party(folder / name, name, keys[name], signed) for name in ("bank-1", "hospital-1")}
    for name, party in made.items():
        shutil.copy(base_job.ledgers / f"{name}.sqlite", party.ledger)
    (folder / "model.json").write_bytes(canonical_json(base_job.released))
    assert cli("linked", "key", folder / "pair.key").code == 0
    made["bank-1"].rows(
        "id,age,status,bill,bad,consent",
        f"ann,30,0,500,0,{TOKEN}",
        f"bob,50,3,9000,1,{TOKEN}",
        "cleo,40,1,800,0,",
        "dan,41,1,800,0,another wording",
        f"eve,42,,,1,{TOKEN}",
        f"fay,43,2,70,,{TOKEN}",
        f"gus,44,2,70,0,{TOKEN}",
    )
    made["hospital-1"].rows(
        "id,age,paid,bad,consent",
        f"ann,30,5000,0,{TOKEN}",
        f"bob,50,0,1,{TOKEN}",
        f"cleo,40,900,0,{TOKEN}",
        f"dan,41,900,0,{TOKEN}",
        f"eve,42,0,0,{TOKEN}",
        f"eve,42,90000,0,{TOKEN}",
        f"fay,43,10,1,{TOKEN}",
        "gus,44,10,1,",
        f"zoe,45,10,1,{TOKEN}",
    )
    return Pair(made["bank-1"], made["hospital-1"], folder / "model.json", folder / "pair.key")


def make_party(folder: Path, name: str, key: SigningKey, roster: SignedRoster) -> Party:
    """Write one party's keys, contract, policy and SITE.yaml; no rows yet."""
    folder.mkdir(mode=0o700)
    key.save(folder / "identity.pem")
    (folder / "data.key").touch(mode=0o600)
    (folder / "data.key").write_text(os.urandom(32).hex())
    contract = consenting_dictionary().model_dump(mode="json")
    (folder / "dictionary.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    write_roster_file(folder / "roster.yaml", roster)
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    (folder / "policy.yaml").chmod(0o644)
    site = {
        "institution": name,
        "kind": name.partition("-")[0],
        "population": f"{name}-customers",
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "identity_key": "identity.pem",
        "data_key": "data.key",
        "data": {"kind": "csv", "path": "rows.csv"},
        "coordinators": {"coordinator": SigningKey.generate().public.hex()},
        "policy": "policy.yaml",
        "ledger": "ledger.sqlite",
        "socket": "c.sock",
    }
    (folder / "SITE.yaml").write_text(yaml.safe_dump(site))
    (folder / "SITE.yaml").chmod(0o644)
    return Party(name, folder, key)


@pytest.fixture
def offer(pair, cli):
    """Make the hospital's offer to the bank."""

    def make(name="offer.parquet", expires="9999-12-31", purpose=PURPOSE, to="bank-1", **options):
        out = pair.hospital.folder / name
        more = [part for key, value in options.items() for part in (f"--{key}", value)]
        arguments = ("--to", to, "--pair-key", pair.pair_key, "--purpose", purpose, "--expires", expires, "--out", out)
        return out, cli("linked", "offer", pair.hospital.site, pair.model, *arguments, *more)

    return make


@pytest.fixture
def table(pair, cli):
    """Join offers at the bank."""

    def make(*offers, name="linked.parquet", key=None, purpose=PURPOSE, fewest=1, sender="hospital-1"):
        out = pair.bank.folder / name
        arguments = (
            "--pair-key",
            f"{sender}={key or pair.pair_key}",
            "--purpose",
            purpose,
            "--fewest",
            fewest,
            "--out",
            out,
        )
        return out, cli("linked", "table", pair.bank.site, pair.model, *offers, *arguments)

    return make


@pytest.fixture
def cells() -> np.ndarray:
    """Some bank customers' cells."""
    return tiny.rows("bank", 50, 3).cells
