"""What the coordinator's operator hands to an institution: a folder of three files, none of them secret.

Whoever could exchange it on its way could put another coordinator in its place, so its hash is compared over a second
channel (a telephone call, a letter). Everything that is pinned in SITE.yaml and NODE.yaml comes from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.provisioning.new_files import NewFile
from fedcredit.roster import HashHex, InstitutionId, Region
from fedcredit.wire.canonical import digest
from fedcredit.wire.public_keys import PublicKeyHex

LETTER, DICTIONARY, CA = "INVITATION.yaml", "dictionary.yaml", "ca.pem"
_NAMES = (LETTER, DICTIONARY, CA)

HostAndPort = Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$", max_length=262)]


class Letter(BaseModel):
    """The fields of INVITATION.yaml.

    Attributes
    ----------
    superlink
        The one host and port that a node connects to.
    bundles
        SHA-256 of the coordinator's app bundles; each institution reviews what it lists in NODE.yaml.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fedcredit-invitation/1"] = "fedcredit-invitation/1"
    coordinator: InstitutionId
    coordinator_key: PublicKeyHex
    region: Region | None = None
    superlink: HostAndPort
    bundles: tuple[HashHex, ...] = ()


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as read or as about to be written.

    Attributes
    ----------
    dictionary, ca
        The bytes of the files.
    """

    letter: Letter
    dictionary: bytes
    ca: bytes

    def files(self) -> dict[str, NewFile]:
        """The folder's files."""
        return {name: NewFile(content) for name, content in self._contents().items()}

    def digest(self) -> bytes:
        """What is compared over a second channel; 32 bytes."""
        return digest(
            "invitation", *(part for name, data in self._contents().items() for part in (name.encode(), data))
        )

    def contract(self) -> DataDictionary:
        """The data dictionary."""
        return parse_dictionary(self.dictionary, "the invitation's dictionary.yaml")

    def _contents(self) -> dict[str, bytes]:
        return dict(zip(_NAMES, (_letter_bytes(self.letter), self.dictionary, self.ca), strict=True))


def fingerprint(public_key: str) -> str:
    """A key in a form that can be read out: 64 bits of its hash, in groups of four."""
    text = digest("key-fingerprint", bytes.fromhex(public_key)).hex()[:16]
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def parse_letter(values: Mapping[str, Any], what: str) -> Letter:
    """Check the fields of a letter.

    Raises
    ------
    ConfigError
        If one is wrong, unknown or missing.
    """
    try:
        return Letter.model_validate(values)
    except ValidationError as error:
        raise ConfigError(listed(what, validation_problems(error, values))) from error


def read_invitation(folder: Path) -> Invitation:
    """Read an invitation.

    Raises
    ------
    ConfigError, DictionaryError
        If a file is missing or no such file, or one holds a private key: then that key has to be replaced.
    """
    try:
        contents = [(folder / name).read_bytes() for name in _NAMES]
    except OSError as error:
        raise ConfigError(
            f"invitation {folder} cannot be read ({error.strerror}); it holds {', '.join(_NAMES)}: ask for it again."
        ) from error
    for name, data in zip(_NAMES, contents, strict=True):
        if b"PRIVATE KEY" in data:
            raise ConfigError(f"{folder / name} holds a private key; tell its owner, who must replace that key.")
    what = f"invitation {folder / LETTER}"
    letter = parse_letter(parse_yaml(contents[0], what), what)
    invitation = Invitation(letter, contents[1], contents[2])
    if _letter_bytes(letter) != contents[0]:
        raise ConfigError(f"{what} was rewritten since it was made; ask for it again, unchanged.")
    invitation.contract()
    return invitation


def _letter_bytes(letter: Letter) -> bytes:
    text = yaml.safe_dump(letter.model_dump(mode="json", exclude_none=True), sort_keys=False, width=400)
    return f"# Key fingerprint of {letter.coordinator}: {fingerprint(letter.coordinator_key)}\n{text}".encode()
