"""How an institution takes over the next roster: what is looked at, who signs, and what is changed on the disk.

With a roster that pins a new identity key, the key is changed in the same step. Its order is such that a crash between
any two parts is made good by doing it again: the ledger names the new key, then the trail, then the key's file is
exchanged, and the roster last.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fedcredit.audit.trail import Trail
from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.site import machine_clock
from fedcredit.custodian.site_file import SiteFile
from fedcredit.errors import ConfigError
from fedcredit.linked.log import change_log_key, link_log_of
from fedcredit.node_file import NodeFile
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning.roster_update import differences, succession_faults
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, load_roster, read_roster_file, write_roster_file
from fedcredit.wire.envelope import SigningKey


@dataclass(frozen=True, slots=True)
class Proposal:
    """A new roster as this institution sees it.

    Attributes
    ----------
    pinned
        The roster that is pinned now; None before the first.
    key
        The key that the new roster pins for this institution: its present one, or the one that waits.
    changes
        One line each; see `differences`.
    """

    signed: SignedRoster
    pinned: Roster | None
    key: SigningKey
    changes: tuple[str, ...]


def waiting(key: Path) -> Path:
    """Where the next key waits until a roster pins it."""
    return key.with_name(f"{key.name}.next")


def look_at(file: SiteFile, roster: Path, today: date, through: Sequence[Path] = ()) -> Proposal:
    """Read a roster and refuse one that must not take the pinned one's place; who has signed is not looked at.

    Parameters
    ----------
    through
        Files of versions in between that other members alone have run a linked job under, in order.

    Raises
    ------
    ConfigError
        If it has expired, is no successor of the pinned one, or pins another key, kind or id for this institution.
    """
    signed = read_roster_file(roster)
    pinned = load_roster(file.roster) if file.roster.exists() else None
    faults = succession_faults(pinned, signed.roster, tuple(load_roster(one) for one in through))
    if signed.roster.expired(today):
        faults.append(f"it was valid until {signed.roster.expires}; ask for one that is valid.")
    if faults:
        raise ConfigError(f"roster {roster} is not taken over: {' '.join(faults)}")
    key = _own_key(file, signed.roster, roster)
    return Proposal(signed, pinned, key, tuple(differences(pinned, signed.roster)))


def adopt(file: SiteFile, node: NodeFile | None, proposal: Proposal, today: date) -> list[str]:
    """Put a roster that all members have signed in place of the pinned one; what was done, one line each.

    Parameters
    ----------
    node
        Whose node key is exchanged where the roster pins one that waits; None to leave it.

    Raises
    ------
    ConfigError
        If a signature is missing or does not hold, or a file cannot be written.
    LedgerError
        If the key changes and the ledger does not hold, or a custodian still has it open.
    """
    faults = proposal.signed.faults()
    if faults:
        raise ConfigError(f"the roster {'; it '.join(faults)}.")
    done = []
    if proposal.key.public != SigningKey.load(file.identity_key).public:
        done += _change_identity(file, proposal.key, today)
    if node is not None:
        done += _change_node_key(file, node, proposal.signed.roster, today)
    file.roster.parent.mkdir(parents=True, exist_ok=True)
    write_roster_file(file.roster, proposal.signed)
    return [*done, f"{file.roster} is roster version {proposal.signed.roster.version} now"]


def _change_identity(file: SiteFile, new: SigningKey, today: date) -> list[str]:
    """Go on under the key that waits; the old one is kept, retired, since it is what the old ledger events name."""
    old, done = SigningKey.load(file.identity_key), []
    if file.ledger.exists():
        Ledger.change_key(file.ledger, old, new, file.ledger_counter)
        done.append(f"{file.ledger} goes on under the new key; its old events stay signed with the old one")
        _change_trail(file, old, new)
        change_log_key(link_log_of(file.ledger), old, new, machine_clock())
    return [*done, _exchange(file.identity_key, today)]


def _change_node_key(file: SiteFile, node: NodeFile, roster: Roster, today: date) -> list[str]:
    member, public = roster.member(file.institution), public_of(waiting(node.node_key))
    if member is None or not public.exists() or public.read_text(encoding="ascii").strip() != member.node_key:
        return []
    # A crash may have come between the two halves.
    done = _exchange(node.node_key, today) if waiting(node.node_key).exists() else f"{node.node_key} is the new key"
    public.replace(public_of(node.node_key))
    return [f"{done}; restart the node"]


def _exchange(path: Path, today: date) -> str:
    """Put the key that waits in its place, and keep the old one."""
    retired = _retired(path, today)
    try:
        # A second name first: at no moment is there no key.
        os.link(path, retired)
        waiting(path).replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be exchanged ({error.strerror}); check its folder.") from error
    return f"{path} is the new key, and {retired} the old one"


def _change_trail(file: SiteFile, old: SigningKey, new: SigningKey) -> None:
    trail = trail_of(file.ledger)
    if trail.exists():
        with Ledger.read(file.ledger, new.public) as ledger:
            Trail.change_key(trail, old, new, ledger, machine_clock)


def _own_key(file: SiteFile, roster: Roster, path: Path) -> SigningKey:
    member, key = roster.member(file.institution), SigningKey.load(file.identity_key)
    if member is None:
        raise ConfigError(
            f"roster {path} does not list {file.institution}. If it has left, stop its custodian and node and keep "
            "the ledger; if it has not, do not sign, and ask who made this roster."
        )
    if member.kind != file.kind:
        raise ConfigError(f"roster {path} has {file.institution} as a {member.kind}, SITE.yaml as a {file.kind}.")
    if member.public_key == key.public.hex():
        return key
    following = waiting(file.identity_key)
    if following.exists() and SigningKey.load(following).public.hex() == member.public_key:
        return SigningKey.load(following)
    raise ConfigError(
        f"roster {path} has another key for {file.institution} than {file.identity_key}; do not sign, and ask who "
        "changed it. One's own change begins with 'fedcredit institution rotate-key'."
    )


def public_of(node_key: Path) -> Path:
    """Where the public half of a node key lies."""
    return node_key.with_name(f"{node_key.name}.pub")


def _retired(key: Path, today: date) -> Path:
    first = key.with_name(f"{key.name}.retired-{today}")
    names = [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, 100))]
    return next(name for name in names if not name.exists())
