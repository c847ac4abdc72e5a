"""A coordinator's files for tests: a roster of three that all signed, a certificate, COORDINATOR.yaml, PLAN.yaml."""

from pathlib import Path
from typing import Any

import yaml

from fedcredit.roster import Roster
from fedcredit.roster_file import write_roster_file
from fedcredit.wire.envelope import SigningKey
from tests.certificates import authority
from tests.rosters import NODE_KEYS, roster, signed
from tests.tiny import DICTIONARY

PACING = {"institutions_timeout_s": 600, "retry_first_s": 0.2, "retry_longest_s": 60}


def members(*names: str) -> Roster:
    """A roster with node keys."""
    one = roster(*names)
    listed = [{**member.model_dump(), "node_key": NODE_KEYS[member.id]} for member in one.members]
    return roster(*names, members=listed)


def write_coordinator(folder: Path, **changes: Any) -> Path:
    """Write everything that a COORDINATOR.yaml names, and the file itself; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    issuer = authority()
    issuer.write(folder / "ca.pem")
    issuer.issue(folder / "tls")
    SigningKey.generate().save(folder / "coordinator.pem")
    (folder / "dictionary.yaml").write_bytes(DICTIONARY)
    write_roster_file(folder / "roster.yaml", signed(members("bank-1", "bank-2", "hospital-1")))
    fields = {
        "name": "coordinator",
        "key": "coordinator.pem",
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "certificate": "tls/server.pem",
        "certificate_key": "tls/server.key",
        "ca": "ca.pem",
        "state": "state",
        "pacing": PACING,
    }
    path = folder / "COORDINATOR.yaml"
    path.write_text(yaml.safe_dump({**fields, **changes}), encoding="utf-8")
    return path


def write_plan(folder: Path, **changes: Any) -> Path:
    """Write a PLAN.yaml; its path."""
    fields = {
        "job": "first",
        "purpose": "a joint scorecard",
        "model": {"family": "scorecard", "rounds": 2},
        "privacy": {"epsilon": 4.0, "delta": 1e-5, "min_owners": 1},
        "evaluation": {"score_bins": 10},
    }
    path = folder / "PLAN.yaml"
    path.write_text(yaml.safe_dump({**fields, **changes}), encoding="utf-8")
    return path
