"""One bank's site on disk, and the real command on it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from fedcredit.cli import main
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.wire.envelope import SigningKey
from tests import tiny

ROOT = Path(__file__).resolve().parents[3]
POLICY = {
    "epsilon": 4.0,
    "delta": 1e-5,
    "max_epsilon_per_job": 4.0,
    "unit": "record",
    "purposes": ["joint credit scorecard (simulation)"],
    "min_institutions": 2,
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    """The files of bank-1 in one folder, complete and right until a test spoils them."""

    folder: Path
    coordinator: SigningKey
    other: SigningKey

    @property
    def file(self) -> Path:
        return self.folder / "SITE.yaml"

    @property
    def socket(self) -> Path:
        return self.folder / "c.sock"

    def change(self, name: str, **changes: object) -> None:
        """Set keys of a YAML file; None takes a key out."""
        path = self.folder / name
        values = {**yaml.safe_load(path.read_text()), **changes}
        path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))

    @property
    def key_path(self) -> Path:
        return self.folder / "keys" / "identity.pem"

    def key(self) -> SigningKey:
        return SigningKey.load(self.key_path)

    @property
    def roster(self) -> Path:
        return self.folder / "roster.yaml"

    def change_roster(self, keys: Mapping[str, SigningKey] | None = None, **changes: object) -> None:
        """Set fields of the roster and have its members sign it."""
        values = {**yaml.safe_load(self.roster.read_text()), **changes}
        values.pop("signatures", None)
        roster = Roster.model_validate(values)
        keys = {"bank-1": self.key(), "bank-2": self.other, **(keys or {})}
        signatures = {member.id: sign_roster(roster, keys[member.id]) for member in roster.members}
        write_roster_file(self.roster, SignedRoster(roster, signatures))


def table(n: int = 300) -> str:
    generator = np.random.default_rng(5)
    bad = generator.random(n) < 0.3
    status = np.where(bad, generator.integers(2, 9, n), generator.integers(-2, 3, n))
    bill = np.round(generator.lognormal(8, 1, n), 2)
    rows = zip(range(n), generator.integers(18, 81, n), status, bill, bad.astype(int), strict=True)
    return "id,age,status,bill,bad\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield Path(name)


@pytest.fixture
def cli(capsys, monkeypatch) -> Callable[..., Ran]:
    """Run the command in this process, as its entry point does."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["fedcredit", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        done = capsys.readouterr()
        return Ran(code, done.out, done.err)

    return run


@pytest.fixture
def site(folder, cli) -> Site:
    assert cli("custodian", "keygen", folder / "keys").code == 0
    coordinator, other = SigningKey.generate(), SigningKey.generate()
    public = SigningKey.load(folder / "keys" / "identity.pem").public.hex()
    members = [
        {"id": "bank-1", "kind": "bank", "public_size": 300, "public_key": public},
        {"id": "bank-2", "kind": "bank", "public_size": 300, "public_key": other.public.hex()},
    ]
    (folder / "dictionary.yaml").write_bytes(tiny.DICTIONARY)
    (folder / "roster.yaml").write_text(yaml.safe_dump({"version": 1, "expires": "9999-12-31", "members": members}))
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    (folder / "policy.yaml").chmod(0o644)
    (folder / "rows.csv").write_text(table())
    fields = {
        "institution": "bank-1",
        "kind": "bank",
        "population": "bank-1-cards",
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "identity_key": "keys/identity.pem",
        "data_key": "keys/data.key",
        "data": {"kind": "csv", "path": "rows.csv"},
        "coordinators": {"coordinator": coordinator.public.hex()},
        "policy": "policy.yaml",
        "ledger": "ledger.sqlite",
        "socket": "c.sock",
    }
    (folder / "SITE.yaml").write_text(yaml.safe_dump(fields))
    (folder / "SITE.yaml").chmod(0o644)
    made = Site(folder, coordinator, other)
    made.change_roster()
    return made


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start the command as a process of its own; it is gone when the test ends."""
    started = []

    def start(*arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-c", "from fedcredit.cli import main; main()", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
