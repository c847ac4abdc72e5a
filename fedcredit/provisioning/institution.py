"""An institution's folder: keys that are made here and never leave, SITE.yaml and NODE.yaml, and its application.

The texts come from the commented templates of the node kit, which the institution reviewed; the values from the
invitation and from what its own people say.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import load_site_file
from fedcredit.dictionary.mapping import load_mapping
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.errors import ConfigError
from fedcredit.node_file import load_node_file
from fedcredit.provisioning.application import SUFFIX, Application, apply_to_join, size_fault
from fedcredit.provisioning.invitation import Invitation
from fedcredit.provisioning.mapping_draft import draft_mapping
from fedcredit.provisioning.new_files import SECRET, NewFile, write_new
from fedcredit.provisioning.templates import filled, read_template
from fedcredit.roster import Member
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.node_keys import node_key_text

_SECRET_BYTES = 32
_RELAY_ENTRY = "relay_token: keys/relay.token"


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A Flower node's key on P-384: the private half as OpenSSH PEM, the public one as one line."""

    private: bytes
    public: str


@dataclass(frozen=True, slots=True)
class InstitutionRequest:
    """What an institution's own people say of it.

    Attributes
    ----------
    size
        Rounded number of records, which the roster publishes.
    kit
        Folder that holds ``clients/``.
    data
        The table, as SITE.yaml shall name it; None for the template's.
    """

    id: str
    kind: str
    region: str
    size: int
    kit: Path
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class InstitutionFolder:
    """What is written: the files by name, and the application that is among them."""

    files: dict[str, NewFile]
    application: Application


def make_node_key() -> NodeKey:
    """Draw a node key."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return NodeKey(private, node_key_text(key.public_key()))


def new_institution(asked: InstitutionRequest, invitation: Invitation) -> InstitutionFolder:
    """Make all keys and files, and read every file as the custodian and the node will; nothing is written.

    Raises
    ------
    ConfigError, DictionaryError
        If the dictionary has no such type, a value would be refused, or a template is not the kit's.
    """
    mapping = draft_mapping(invitation.contract(), asked.kind)
    identity, node = SigningKey.generate(), make_node_key()
    application = apply_to_join(_member(asked, identity, node), identity, node.private)
    templates = asked.kit / "clients" / asked.kind
    written = {
        "SITE.yaml": NewFile(_site_yaml(asked, invitation, templates / "SITE.yaml").encode()),
        "NODE.yaml": NewFile(_node_yaml(invitation, templates / "NODE.yaml").encode()),
        "policy.yaml": NewFile(read_template(templates / "policy.yaml").encode()),
        "mapping.yaml": NewFile(mapping.encode()),
        "dictionary.yaml": NewFile(invitation.dictionary),
        "tls/ca.pem": NewFile(invitation.ca),
        "keys/identity.pem": NewFile(identity.to_pem(), SECRET),
        "keys/data.key": _secret(),
        "keys/relay.token": _secret(),
        "keys/node": NewFile(node.private, SECRET),
        "keys/node.pub": NewFile(f"{node.public}\n".encode()),
        f"{asked.id}{SUFFIX}": NewFile(application.to_yaml()),
    }
    _require_readable(written, asked)
    return InstitutionFolder(written, application)


def _member(asked: InstitutionRequest, identity: SigningKey, node: NodeKey) -> Member:
    if fault := size_fault(asked.size):
        raise ConfigError(fault)
    values = {
        "id": asked.id,
        "kind": asked.kind,
        "region": asked.region,
        "public_size": asked.size,
        "public_key": identity.public.hex(),
        "node_key": node.public,
    }
    try:
        return Member.model_validate(values)
    except ValidationError as error:
        raise ConfigError(listed("the institution", validation_problems(error, values))) from error


def _site_yaml(asked: InstitutionRequest, invitation: Invitation, template: Path) -> str:
    letter = invitation.letter
    entries = {
        "institution": f"institution: {asked.id}",
        "kind": f"kind: {asked.kind}",
        "population": f"population: {asked.id}-records",
        "coordinators.coordinator": f'{letter.coordinator}: "{letter.coordinator_key}"',
        "relay_token": _RELAY_ENTRY,
    }
    if asked.data is not None:
        entries["data.kind"] = f"kind: {'csv' if asked.data.suffix == '.csv' else 'parquet'}"
        entries["data.path"] = f"path: {asked.data}"
    return filled(read_template(template), str(template), entries)


def _node_yaml(invitation: Invitation, template: Path) -> str:
    bundles = ", ".join(json.dumps(one) for one in invitation.letter.bundles)
    entries = {
        "superlink": f"superlink: {invitation.letter.superlink}",
        "relay_token": _RELAY_ENTRY,
        "bundles": f"bundles: [{bundles}]",
    }
    return filled(read_template(template), str(template), entries)


def _secret() -> NewFile:
    return NewFile(f"{os.urandom(_SECRET_BYTES).hex()}\n".encode(), SECRET)


def _require_readable(files: dict[str, NewFile], asked: InstitutionRequest) -> None:
    """Read the files as their programs do: what a person may have changed in a template is found before it is used."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name:
        folder = Path(name)
        write_new(folder, files)
        site = load_site_file(folder / "SITE.yaml")
        if (site.institution, site.kind) != (asked.id, asked.kind) or site.policy is None:
            raise ConfigError("the template of SITE.yaml says another institution or no policy; take the kit's.")
        load_policy(site.policy)
        load_mapping(folder / "mapping.yaml")
        load_node_file(folder / "NODE.yaml")
