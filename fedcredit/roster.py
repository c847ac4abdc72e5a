"""The roster: who is in the consortium, with which key, how large it says it is, and until when that holds.

Every institution pins the same roster; its hash is part of every plan and is what the members sign (see
`fedcredit.roster_file`). Sizes are rounded and public: the divisor N and the bound on delta come from them, never from
the data (zero-out adjacency). A roster names the hash of the one that it replaces, so that versions form one chain.
"""

import re
from datetime import date
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.node_keys import NodeKey
from fedcredit.wire.public_keys import PublicKeyHex

InstitutionId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
# Shown on consoles before it is signed: letters and plain punctuation, nothing that could hide a line.
Region = Annotated[str, Field(pattern=r"^[A-Za-z0-9 .,'()/&_-]{1,63}$")]
UNSPECIFIED_REGION = "unspecified"
# Of a sum that hides its parts: between two, each takes its own off and holds the other's.
FEWEST_MEMBERS = 3
HashHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Member(BaseModel):
    """One institution of the consortium.

    Attributes
    ----------
    public_key
        The identity key, with which the custodian signs.
    node_key
        Key of the Flower node that speaks for the institution; None where any node may that proves to be its.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: InstitutionId
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    region: Region = UNSPECIFIED_REGION
    public_size: int = Field(gt=0, le=10**12)
    public_key: PublicKeyHex
    node_key: NodeKey | None = None

    @model_serializer(mode="wrap")
    def _fields(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a node key that is not given: rosters without any keep the hash that their members signed."""
        fields: dict[str, Any] = plain(self)
        return {name: value for name, value in fields.items() if name != "node_key" or value is not None}


def _day(value: object) -> object:
    """Let through a plain day only; numbers and times of day would be read as days that nobody wrote."""
    if type(value) is date or (isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)):
        return value
    raise ValueError(f"{value!r:.40} is not a day; write it as YYYY-MM-DD")


class Roster(BaseModel):
    """The members, in a fixed order.

    Attributes
    ----------
    version
        1, 2, …: a custodian takes part under no lower version than the highest that it has seen.
    previous
        Hash of the roster that this one replaces, as hex; None for version 1.
    expires
        Last day (UTC) on which jobs are answered under this roster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, lt=2**32)
    previous: HashHex | None = None
    expires: Annotated[date, BeforeValidator(_day)]
    members: tuple[Member, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if self.version > 1 and self.previous is None:
            raise ValueError(
                f"version {self.version} replaces a roster and must name it; give previous, the hash that "
                "'fedcredit roster show' prints for the old file"
            )
        if self.version == 1 and self.previous is not None:
            raise ValueError("version 1 replaces no roster; remove previous, or raise the version")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, values in (
            ("id", [member.id for member in self.members]),
            ("public key", [member.public_key for member in self.members]),
            ("node key", [member.node_key for member in self.members if member.node_key is not None]),
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

    def expired(self, today: date) -> bool:
        """Tell whether the roster's last day lies before `today` (UTC)."""
        return today > self.expires

    def digest(self) -> bytes:
        """SHA-256 of the roster; 32 bytes."""
        return digest("roster", canonical_json(self.model_dump(mode="json")))

    def attempt_digest(self, institutions: tuple[str, ...]) -> bytes:
        """Hash of the members that one attempt asks, in roster order; 32 bytes."""
        asked = frozenset(institutions)
        chosen = [member.id for member in self.members if member.id in asked]
        return digest("attempt-roster", self.digest(), *(name.encode() for name in chosen))
