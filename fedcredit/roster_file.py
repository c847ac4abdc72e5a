"""The roster as a file: its fields, and every member's signature over its hash.

A custodian pins a roster only when all members have signed it, itself among them, so nobody can put a member, a key or
a size into it alone. The signatures stand beside the roster and are no part of its hash: they are collected one by
one, each over the same bytes.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.roster import InstitutionId, Roster
from fedcredit.wire.canonical import length_prefixed
from fedcredit.wire.envelope import SigningKey, verify_signature

SignatureHex = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Model = TypeVar("Model", bound=BaseModel)


class _Signatures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    signatures: dict[InstitutionId, SignatureHex] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedRoster:
    """A roster and the signatures collected so far; any of them may be wrong.

    Attributes
    ----------
    signatures
        64 bytes each, by institution.
    """

    roster: Roster
    signatures: Mapping[str, bytes]

    def holds(self, institution: str) -> bool:
        """Tell whether a member of that id signed exactly this roster with its pinned key."""
        member, signature = self.roster.member(institution), self.signatures.get(institution)
        if member is None or signature is None:
            return False
        return verify_signature(bytes.fromhex(member.public_key), signature_bytes(self.roster), signature)

    def broken(self) -> tuple[str, ...]:
        """Whose signatures hold for no member of this roster: made for another version, or changed since."""
        return tuple(name for name in self.signatures if not self.holds(name))

    def faults(self) -> list[str]:
        """What keeps a custodian from pinning this roster, one sentence each; empty if all members signed."""
        ids = [member.id for member in self.roster.members]
        missing = [name for name in ids if name not in self.signatures]
        foreign = [name for name in self.signatures if name not in ids]
        wrong = [name for name in self.broken() if name in ids]
        out = []
        if missing:
            out.append(
                f"is not signed by {', '.join(missing)}; each runs: fedcredit institution approve SITE.yaml ROSTER"
            )
        if wrong:
            out.append(
                f"was changed after it was signed: the signature of {', '.join(wrong)} does not hold; compare it with "
                "the other members, then each signs again: fedcredit institution approve SITE.yaml ROSTER"
            )
        if foreign:
            out.append(f"carries a signature of {', '.join(foreign)}, who is no member of it; remove the signature")
        return out

    def signed_with(self, institution: str, key: SigningKey) -> "SignedRoster":
        """Add one signature; those that do not hold are left out."""
        kept = {name: signature for name, signature in self.signatures.items() if self.holds(name)}
        return SignedRoster(self.roster, {**kept, institution: sign_roster(self.roster, key)})

    def to_yaml(self) -> bytes:
        """The file's bytes; the same for equal rosters with equal signatures."""
        signatures = {name: self.signatures[name].hex() for name in sorted(self.signatures)}
        document = {**self.roster.model_dump(mode="json"), "signatures": signatures}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=400).encode()


def signature_bytes(roster: Roster) -> bytes:
    """What a member's signature covers."""
    return length_prefixed("roster-signature", roster.digest())


def sign_roster(roster: Roster, key: SigningKey) -> bytes:
    """One member's signature; 64 bytes."""
    return key.sign(signature_bytes(roster))


def load_roster(path: Path) -> Roster:
    """Read a roster that every member has signed; whether it has expired is not looked at.

    Raises
    ------
    ConfigError
        If the file is missing or not a roster, or if a signature is missing, wrong or foreign.
    """
    signed = read_roster_file(path)
    faults = signed.faults()
    if faults:
        raise ConfigError(f"roster file {path} {'; it '.join(faults)}.")
    return signed.roster


def read_roster_file(path: Path) -> SignedRoster:
    """Read a roster whose signatures are still being collected; none of them is required or checked.

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
    roster = {name: value for name, value in document.items() if name != "signatures"}
    signatures = {name: value for name, value in document.items() if name == "signatures"}
    found = _parsed(_Signatures, signatures, path).signatures
    return SignedRoster(_parsed(Roster, roster, path), {name: bytes.fromhex(one) for name, one in found.items()})


def write_roster_file(path: Path, signed: SignedRoster) -> None:
    """Write a roster file in one step: readers see the old bytes or the new ones.

    Raises
    ------
    ConfigError
        If the folder cannot be written to.
    """
    target = path.resolve()
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(signed.to_yaml())
                file.flush()
                os.fsync(file.fileno())
            _set_mode(Path(name), target)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"roster file {path} cannot be written ({error.strerror}); check its folder.") from error


def _set_mode(new: Path, old: Path) -> None:
    """A roster is public to its members; a temporary file is not."""
    if old.exists():
        shutil.copymode(old, new)
    else:
        new.chmod(0o644)


def _parsed(model: type[Model], values: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(listed(f"roster file {path}", validation_problems(error, values))) from error
