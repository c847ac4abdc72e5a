"""The roster: who is in the consortium, with which key, and how large it says it is.

Every institution pins the same roster file; its hash is part of every plan. Sizes are rounded and public: the
divisor N and the bound on delta come from them, never from the data (zero-out adjacency).
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.public_keys import PublicKeyHex

InstitutionId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Member(BaseModel):
    """One institution of the consortium."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: InstitutionId
    kind: str
    region: str = "unspecified"
    public_size: int = Field(gt=0, le=10**12)
    public_key: PublicKeyHex


class Roster(BaseModel):
    """The members, in a fixed order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    members: tuple[Member, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, values in (
            ("id", [member.id for member in self.members]),
            ("public key", [member.public_key for member in self.members]),
        ):
            if len(set(values)) < len(values):
                repeated = next(value for value in values if values.count(value) > 1)
                raise ValueError(f"the roster lists the {what} {repeated!r} twice; members must differ")
        return self

    @property
    def total_size(self) -> int:
        """N, the sum of the members' public sizes."""
        return sum(member.public_size for member in self.members)

    def member(self, institution: str) -> Member | None:
        """The member of that id, or None."""
        return next((member for member in self.members if member.id == institution), None)

    def digest(self) -> bytes:
        """SHA-256 of the roster; 32 bytes."""
        return digest("roster", canonical_json(self.model_dump(mode="json")))

    def attempt_digest(self, institutions: tuple[str, ...]) -> bytes:
        """Hash of the members that one attempt asks, in roster order; 32 bytes."""
        asked = frozenset(institutions)
        chosen = [member.id for member in self.members if member.id in asked]
        return digest("attempt-roster", self.digest(), *(name.encode() for name in chosen))


def load_roster(path: Path) -> Roster:
    """Read a roster file (YAML).

    Raises
    ------
    ConfigError
        If the file is missing or not a roster.
    """
    try:
        document = parse_yaml(path.read_bytes(), f"roster file {path}")
    except OSError as error:
        raise ConfigError(
            f"roster file {path} cannot be read ({error.strerror}); ask the consortium's operator for it."
        ) from error
    try:
        return Roster.model_validate(document)
    except ValidationError as error:
        raise ConfigError(listed(f"roster file {path}", validation_problems(error, document))) from error
