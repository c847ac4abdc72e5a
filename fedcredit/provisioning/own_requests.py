"""An institution's own requests to a roster that it is in: other keys, or to leave.

New keys wait beside the present ones, which stay in use until every member has signed a roster with the new ones.
"""

from dataclasses import dataclass
from pathlib import Path

from fedcredit.custodian.site_file import SiteFile, membership_problems
from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile
from fedcredit.provisioning.adoption import public_of, waiting
from fedcredit.provisioning.application import SUFFIX, Application, apply_to_leave, apply_to_rotate
from fedcredit.provisioning.institution import make_node_key
from fedcredit.provisioning.new_files import SECRET, NewFile, require_absent, write_new
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import SigningKey


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request, and where it was written."""

    application: Application
    path: Path


def request_rotation(file: SiteFile, node: NodeFile | None, folder: Path) -> OwnRequest:
    """Make a new identity key, and a new node key where NODE.yaml is given, and ask for them.

    Raises
    ------
    ConfigError
        If a change waits already, or this site is no member of its roster.
    """
    key, pinned, member = _membership(file)
    for path in (file.identity_key, *(() if node is None else (node.node_key,))):
        if waiting(path).exists():
            raise ConfigError(
                f"a change waits already in {waiting(path)}; hand in its application, or remove both to begin anew."
            )
    new = SigningKey.generate()
    changed: dict[str, object] = {"public_key": new.public.hex()}
    files = {waiting(file.identity_key): NewFile(new.to_pem(), SECRET)}
    node_key = None if node is None else make_node_key()
    if node is not None and node_key is not None:
        changed["node_key"] = node_key.public
        files[waiting(node.node_key)] = NewFile(node_key.private, SECRET)
        files[public_of(waiting(node.node_key))] = NewFile(f"{node_key.public}\n".encode())
    proof = None if node_key is None else node_key.private
    application = apply_to_rotate(member.model_copy(update=changed), key, new, pinned, proof)
    path = _path(folder, application, pinned)
    write_new(Path("/"), {str(one): content for one, content in files.items()} | {str(path): _file(application)})
    return OwnRequest(application, path)


def request_leave(file: SiteFile, folder: Path) -> OwnRequest:
    """Ask to be left out of the next roster.

    Raises
    ------
    ConfigError
        If this site is no member of its roster, or asked before.
    """
    key, pinned, member = _membership(file)
    application = apply_to_leave(member, key, pinned)
    path = _path(folder, application, pinned)
    write_new(path.parent, {path.name: _file(application)})
    return OwnRequest(application, path)


def _membership(file: SiteFile) -> tuple[SigningKey, Roster, Member]:
    key, pinned = SigningKey.load(file.identity_key), load_roster(file.roster)
    for problem in membership_problems(file, pinned, key):
        raise ConfigError(problem)
    member = pinned.member(file.institution)
    if member is None:
        raise ConfigError(f"{file.institution} is not in roster {file.roster}; there is nothing to change.")
    return key, pinned, member


def _path(folder: Path, application: Application, pinned: Roster) -> Path:
    path = folder / f"{application.member.id}.{application.change}-v{pinned.version + 1}{SUFFIX}"
    require_absent(path)
    return path


def _file(application: Application) -> NewFile:
    return NewFile(application.to_yaml())
