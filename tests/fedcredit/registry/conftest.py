"""A registry with three people and a model folder."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from fedcredit.registry.registry import Model, Move, record
from fedcredit.registry.registry_file import RegistryFile, load_registry_file
from fedcredit.registry.states import State
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.cli.conftest import cli

__all__ = ["cli", "office"]

PEOPLE = {
    "dora": ["developer"],
    "vera": ["validator"],
    "abel": ["approver"],
    "all": ["developer", "validator", "approver"],
}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True)
class Office:
    """A registry's folder and everybody's key."""

    folder: Path
    keys: dict[str, SigningKey]

    @property
    def path(self) -> Path:
        return self.folder / "REGISTRY.yaml"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def file(self) -> RegistryFile:
        return load_registry_file(self.path)

    def write(self, **changes: object) -> None:
        people = {name: {"key": self.keys[name].public.hex(), "roles": roles} for name, roles in PEOPLE.items()}
        self.path.touch(mode=0o600)
        self.path.write_text(
            yaml.safe_dump({"name": "cards", "registry": "registry.sqlite", "people": people, **changes})
        )

    def move(self, to: str, by: str, name: str = "cards") -> Model:
        path = self.model if to == "draft" else None
        return record(self.file, self.keys[by], Move(name, State(to), f"{by} says so"), NOW, path)

    def to(self, state: str, name: str = "cards") -> None:
        """Bring a new model to a state the usual way."""
        way = {"draft": "dora", "sandbox": "vera", "approved": "abel", "suspended": "dora", "retired": "abel"}
        for one, by in way.items():
            self.move(one, by, name)
            if one == state:
                return


@pytest.fixture
def office(tmp_path):
    found = Office(tmp_path, {name: SigningKey.generate() for name in PEOPLE})
    found.model.mkdir()
    (found.model / "model.json").write_text("{}")
    (found.model / "receipts").mkdir()
    (found.model / "receipts" / "a.json").write_text("1")
    found.write()
    return found
