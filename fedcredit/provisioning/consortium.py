"""The coordinator's folder: its key, COORDINATOR.yaml, dictionary, PLAN.yaml, TLS files, and the invitation."""

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.provisioning.certificates import (
    ServerCertificate,
    check_server_certificate,
    make_authority,
    make_server_certificate,
)
from fedcredit.provisioning.invitation import Invitation, Letter, parse_letter
from fedcredit.provisioning.new_files import SECRET, NewFile
from fedcredit.provisioning.templates import filled
from fedcredit.wire.envelope import SigningKey

# The coordinator's own processes reach it here.
_LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class ConsortiumRequest:
    """What a person asks for.

    Attributes
    ----------
    host, port
        Under which institutions reach the coordinator.
    dictionary
        The bytes of the data dictionary.
    bundles
        SHA-256 of app bundles, as hex.
    certificate
        Given files; None to make a CA and a certificate.
    """

    name: str
    host: str
    port: int
    region: str | None
    dictionary: bytes
    bundles: tuple[str, ...]
    certificate: ServerCertificate | None


@dataclass(frozen=True, slots=True)
class ConsortiumFolder:
    """What is written: the files by name, and the invitation that is among them."""

    files: dict[str, NewFile]
    invitation: Invitation


def new_consortium(asked: ConsortiumRequest, now: datetime) -> ConsortiumFolder:
    """Make all keys and files; nothing is written.

    Raises
    ------
    ConfigError, DictionaryError
        If the dictionary is none, or a given certificate would not do.
    """
    parse_dictionary(asked.dictionary, "the dictionary")
    key = SigningKey.generate()
    letter = _letter(asked, key)
    tls, authority_key = _tls(asked, now)
    invitation = Invitation(letter, asked.dictionary, tls.ca)
    written = {
        "COORDINATOR.yaml": NewFile(_coordinator_yaml(asked).encode()),
        "PLAN.yaml": NewFile(_packaged("plan.yaml").encode()),
        "dictionary.yaml": NewFile(asked.dictionary),
        "keys/coordinator.pem": NewFile(key.to_pem(), SECRET),
        "tls/server.pem": NewFile(tls.certificate),
        "tls/server.key": NewFile(tls.key, SECRET),
        "tls/ca.pem": NewFile(tls.ca),
        **({} if authority_key is None else {"tls/ca.key": NewFile(authority_key, SECRET)}),
        **{f"invitation/{name}": file for name, file in invitation.files().items()},
    }
    return ConsortiumFolder(written, invitation)


def _letter(asked: ConsortiumRequest, key: SigningKey) -> Letter:
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    values = {
        "coordinator": asked.name,
        "coordinator_key": key.public.hex(),
        "region": asked.region,
        "superlink": f"{host}:{asked.port}",
        "bundles": asked.bundles,
    }
    return parse_letter(values, "the consortium")


def _tls(asked: ConsortiumRequest, now: datetime) -> tuple[ServerCertificate, bytes | None]:
    """The server's files, and the key of the CA where it is the consortium's own."""
    if asked.certificate is not None:
        check_server_certificate(asked.certificate, asked.host, now)
        return asked.certificate, None
    authority = make_authority(f"{asked.name} of {asked.host}", now)
    hosts = tuple(dict.fromkeys((asked.host, *_LOOPBACK)))
    return make_server_certificate(authority, hosts, now), authority.key


def _coordinator_yaml(asked: ConsortiumRequest) -> str:
    entries = {
        "name": f"name: {asked.name}",
        "region": "# region: DE" if asked.region is None else f"region: {asked.region}",
        "fleet": f"fleet: {{host: 0.0.0.0, port: {asked.port}}}",
    }
    return filled(_packaged("coordinator.yaml"), "coordinator.yaml", entries)


def _packaged(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
