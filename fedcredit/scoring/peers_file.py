"""PEERS.yaml: with whom an institution exchanges consented numbers, under which keys and limits."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from fedcredit.data.source_spec import SourceSpec
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.schema import Strict, Text
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.wire.public_keys import PublicKeyHex

InstitutionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Peer(Strict):
    """One other institution.

    Attributes
    ----------
    public_key
        Its identity key, as in the consortium's roster.
    pair_key
        File with 64 hex digits that only the two institutions have; persons are named under it.
    purposes
        What it may ask for.
    requests_per_day
        Most questions in 24 hours, whatever the answers.
    address
        HOST:PORT where it answers; for the asking side.
    certificate
        PEM of its certificate's authority; needed beyond loopback.
    """

    public_key: PublicKeyHex
    pair_key: Path
    purposes: Annotated[tuple[Text, ...], Field(min_length=1)]
    requests_per_day: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    address: str | None = None
    certificate: Path | None = None


class PerPerson(Strict):
    """Most questions on one person by one peer in so many days, whatever the answers; one of two may be lost."""

    requests: Annotated[int, Field(ge=1, le=100)] = 2
    days: Annotated[int, Field(ge=1, le=3650)] = 30


class Answering(Strict):
    """What the answering side needs: its table, and who has consented.

    Attributes
    ----------
    largest_number
        Largest whole number, either way, that is answered; a package with a wider limit is not served.
    """

    consents: Path
    data: SourceSpec
    mapping: Path | None = None
    largest_number: Annotated[int, Field(ge=1, le=64)] = 12
    per_person: PerPerson = PerPerson()


class PeersFile(Strict):
    """The file.

    Attributes
    ----------
    institution
        This institution, as its peers name it.
    audit
        SQLite file of all questions, asked or answered.
    """

    institution: InstitutionName
    identity_key: Path
    audit: Path
    peers: Annotated[dict[InstitutionName, Peer], Field(min_length=1)]
    answering: Answering | None = None

    @model_validator(mode="after")
    def _one_key_each(self) -> Self:
        names: dict[str, str] = {}
        for name, peer in self.peers.items():
            if peer.public_key in names:
                raise ValueError(
                    f"{names[peer.public_key]} and {name} have the same public key: one institution would have the "
                    "limits of two; name each once"
                )
            names[peer.public_key] = name
        return self

    def peer(self, name: str) -> Peer:
        """The peer of that name.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if name not in self.peers:
            raise ConfigError(
                f"{name!r:.80} is no peer of {self.institution}; PEERS.yaml has: {', '.join(self.peers)}."
            )
        return self.peers[name]


def load_peers(path: Path) -> PeersFile:
    """Read the file; relative paths are taken from its folder.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise ConfigError(f"peers file {path} can be written by others; run: chmod go-w {path}")
        document = parse_yaml(path.read_bytes(), f"peers file {path}")
        file = PeersFile.model_validate(document)
    except OSError as error:
        raise ConfigError(f"peers file {path} cannot be read ({error.strerror}); check the path.") from None
    except ValidationError as error:
        raise ConfigError(listed(f"peers file {path}", validation_problems(error, document))) from None
    folder = path.resolve().parent
    peers = {name: _resolved_peer(peer, folder) for name, peer in file.peers.items()}
    own = {name: folder / getattr(file, name) for name in ("identity_key", "audit")}
    return file.model_copy(update={**own, "peers": peers, "answering": _resolved_answering(file.answering, folder)})


def _resolved_peer(peer: Peer, folder: Path) -> Peer:
    certificate = None if peer.certificate is None else folder / peer.certificate
    return peer.model_copy(update={"pair_key": folder / peer.pair_key, "certificate": certificate})


def _resolved_answering(answering: Answering | None, folder: Path) -> Answering | None:
    if answering is None:
        return None
    mapping = None if answering.mapping is None else folder / answering.mapping
    data = answering.data.relative_to(folder)
    return answering.model_copy(update={"consents": folder / answering.consents, "mapping": mapping, "data": data})
