"""A tiny consortium on disk: three sites with keys, rows, policies and ledgers, and jobs for them."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import yaml

from fedcredit.cli.ledger import open_ledger
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, parse_plan
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.wire.envelope import SigningKey
from tests import tiny

KINDS = {"bank-1": "bank", "bank-2": "bank", "hospital-1": "hospital"}
ROWS = 200
PURPOSE = "a crash test"
# A retry of each kind of message can be paid, and a second one of a round.
SHARES = BudgetShares(preflight=9, train=36, evaluate=6)
PLACEMENTS = {"distributed": tiny.SHARED, "local": tiny.LOCAL, "none": tiny.NONE}
POLICY = {
    "epsilon": 30.0,
    "delta": 1e-5,
    "max_epsilon_per_job": 4.0,
    "unit": "record",
    "placements": ["local", "distributed"],
    "purposes": [PURPOSE],
    "min_institutions": 3,
    "min_owners": 1,
}


@dataclass(frozen=True)
class Consortium:
    """Files of three institutions and a coordinator in one folder, whose path is short enough for sockets."""

    folder: Path
    placement: str

    def site(self, institution: str) -> Path:
        return self.folder / institution / "SITE.yaml"

    def ledger(self, institution: str) -> Path:
        return self.folder / institution / "ledger.sqlite"

    def socket(self, institution: str) -> Path:
        return self.folder / f"{institution}.sock"

    def trace(self, process: str) -> Path:
        return self.folder / f"{process}.trace"

    def key(self, institution: str) -> SigningKey:
        return SigningKey.load(self.folder / institution / "identity.pem")

    @property
    def private(self) -> bool:
        return PLACEMENTS[self.placement].placement is not Placement.NONE

    @property
    def roster(self) -> Roster:
        members = [
            Member(id=name, kind=kind, public_size=ROWS, public_key=self.key(name).public.hex())
            for name, kind in KINDS.items()
        ]
        return Roster(version=1, previous=None, expires=date.max, members=tuple(members))

    def job(self, name: str) -> Path:
        """The folder of a new job; a coordinator needs nothing else."""
        privacy: PrivacyTerms = PLACEMENTS[self.placement].model_copy(update={"min_owners": 1})
        request = JobRequest(
            job=name,
            purpose=PURPOSE,
            coordinator="coordinator",
            coordinator_key=SigningKey.load(self.folder / "coordinator.pem").public,
            roster=self.roster,
            privacy=privacy,
            shares=SHARES,
            model=ScorecardSpec(rounds=2),
            evaluation=EvaluationTerms(score_bins=10),
            evaluation_percent=20,
        )
        folder = self.folder / name
        folder.mkdir()
        (folder / "plan").write_bytes(make_plan(request, tiny.dictionary()).to_bytes())
        sockets = {institution: str(self.socket(institution)) for institution in KINDS}
        (folder / "job.json").write_text(json.dumps({"sockets": sockets}))
        return folder


def found(folder: Path, placement: str) -> Consortium:
    """Write everything and open the ledgers, as each institution does with its own command."""
    made = Consortium(folder, placement)
    (folder / "dictionary.yaml").write_bytes(tiny.DICTIONARY)
    SigningKey.generate().save(folder / "coordinator.pem")
    for institution in KINDS:
        (folder / institution).mkdir()
        SigningKey.generate().save(folder / institution / "identity.pem")
    signatures = {name: sign_roster(made.roster, made.key(name)) for name in KINDS}
    write_roster_file(folder / "roster.yaml", SignedRoster(made.roster, signatures))
    for seed, institution in enumerate(KINDS):
        _write_site(made, institution, seed)
        open_ledger(made.site(institution))
    return made


def plan_of(job: Path):
    return parse_plan((job / "plan").read_bytes())


def dictionary_of(job: Path):
    return parse_dictionary((job.parent / "dictionary.yaml").read_bytes())


def _write_site(made: Consortium, institution: str, seed: int) -> None:
    folder, kind = made.site(institution).parent, KINDS[institution]
    (folder / "rows.csv").write_text(_table(kind, seed))
    (folder / "data.key").touch(mode=0o600)
    (folder / "data.key").write_text(bytes([seed] * 32).hex())
    promise: dict[str, object] = {"not_private": {"declared": "synthetic"}}
    if made.private:
        (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
        (folder / "policy.yaml").chmod(0o644)
        promise = {"policy": "policy.yaml"}
    fields = {
        "institution": institution,
        "kind": kind,
        "population": f"{institution}-customers",
        "dictionary": "../dictionary.yaml",
        "roster": "../roster.yaml",
        "identity_key": "identity.pem",
        "data_key": "data.key",
        "data": {"kind": "csv", "path": "rows.csv"},
        "coordinators": {"coordinator": SigningKey.load(made.folder / "coordinator.pem").public.hex()},
        "ledger": "ledger.sqlite",
        "socket": str(made.socket(institution)),
        **promise,
    }
    made.site(institution).write_text(yaml.safe_dump(fields))
    made.site(institution).chmod(0o644)


def _table(kind: str, seed: int) -> str:
    generator = np.random.default_rng(seed)
    bad = generator.random(ROWS) < 0.3
    values = {
        "id": np.arange(ROWS),
        "age": generator.integers(18, 81, ROWS),
        "status": np.where(bad, generator.integers(2, 9, ROWS), generator.integers(-2, 3, ROWS)),
        "bill": np.round(generator.lognormal(8, 1, ROWS), 2),
        "paid": np.round(generator.lognormal(7, 1, ROWS), 2),
        "bad": bad.astype(int),
    }
    owned = {feature.name for feature in tiny.dictionary().owned_features(kind)} | {"id", "bad"}
    columns = [name for name in values if name in owned]
    rows = zip(*(values[name] for name in columns), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"
