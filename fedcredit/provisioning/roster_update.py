"""From one version of a roster to the next: what applications make of it, and what a member should see in it.

Nothing here decides anything: a new version holds only when every one of its members has signed it.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from pydantic import ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.errors import ConfigError
from fedcredit.provisioning.application import Application, Change, size_fault
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import SignedRoster


def next_roster(pinned: SignedRoster | None, applications: Sequence[Application], expires: date, today: date) -> Roster:
    """Fold applications into version 1, or into the version after `pinned`.

    Raises
    ------
    ConfigError
        If `pinned` is not signed by all, an application does not hold or repeats an id, or the day is not to come.
    """
    present = None if pinned is None else _complete(pinned)
    problems = [fault for one in applications for fault in one.faults(present)]
    problems += [fault for one in applications if one.change is Change.JOIN if (fault := size_fault(_size(one)))]
    ids = [one.member.id for one in applications]
    problems += [f"two applications are {name}'s; give one each." for name in sorted(set(ids)) if ids.count(name) > 1]
    if expires <= today:
        problems.append(f"the roster would expire on {expires}, and today is {today}; give a later --expires.")
    if problems:
        raise ConfigError(listed("the next roster", problems))
    return _built(present, applications, expires)


def differences(pinned: Roster | None, new: Roster) -> list[str]:
    """What a new version changes, one line each, in public words."""
    before = {} if pinned is None else {one.id: one for one in pinned.members}
    after = {one.id: one for one in new.members}
    lines = [f"{name} joins: {_described(one)}" for name, one in after.items() if name not in before]
    lines += [f"{name} leaves" for name in before if name not in after]
    for name, one in after.items():
        if name in before:
            lines += [f"{name}: {change}" for change in _entry_changes(before[name], one)]
    if pinned is not None and pinned.expires != new.expires:
        lines.append(f"valid to the end of {new.expires}, until now of {pinned.expires}")
    return lines


def succession_faults(pinned: Roster | None, new: Roster, through: Sequence[Roster] = ()) -> list[str]:
    """What keeps a roster from taking the place of the pinned one, one sentence each.

    Parameters
    ----------
    through
        Versions in between that were some members' alone, each signed by all of its own: a linked job's.
    """
    for between in through:
        if faults := _narrowing_faults(pinned, between):
            return faults
        pinned = between
    if pinned is None or new.digest() == pinned.digest():
        return []
    if new.version <= pinned.version:
        return [f"version {new.version} is not above {pinned.version}, which is pinned; ask for the newest roster."]
    if new.previous != pinned.digest().hex():
        fault = (
            f"version {new.version} replaces roster {(new.previous or '')[:16]}, and {pinned.digest().hex()[:16]} is "
            "pinned; adopt the versions in between first, or ask who made it from another roster."
        )
        return [fault]
    return []


def _narrowing_faults(pinned: Roster | None, between: Roster) -> list[str]:
    """What keeps a version from standing between the pinned one and the next: it may drop members and nothing else."""
    if pinned is None or between.previous != pinned.digest().hex() or between.version != pinned.version + 1:
        return [f"version {between.version}, given as in between, does not follow the pinned one; give it as it was."]
    known = {(one.id, one.kind, one.public_key) for one in pinned.members}
    strange = [one.id for one in between.members if (one.id, one.kind, one.public_key) not in known]
    if strange:
        fault = (
            f"version {between.version}, given as in between, has {', '.join(strange)} anew or with another key, which "
            "this site has not signed; do not sign, and ask who made it."
        )
        return [fault]
    return []


def _complete(pinned: SignedRoster) -> Roster:
    faults = pinned.faults()
    if faults:
        raise ConfigError(
            f"the roster {'; it '.join(faults)}. Have it signed by all, or move it away and enrol everybody anew."
        )
    return pinned.roster


def _size(application: Application) -> int:
    return application.member.public_size


def _built(present: Roster | None, applications: Sequence[Application], expires: date) -> Roster:
    changed = {one.member.id: one for one in applications}
    kept = [changed[one.id].member if one.id in changed else one for one in (present.members if present else ())]
    members = [one for one in kept if one.id not in changed or changed[one.id].change is not Change.LEAVE]
    members += [one.member for one in applications if one.change is Change.JOIN]
    values = {
        "version": 1 if present is None else present.version + 1,
        "previous": None if present is None else present.digest().hex(),
        "expires": expires,
        "members": members,
    }
    try:
        return Roster.model_validate(values)
    except ValidationError as error:
        raise ConfigError(listed("the next roster", validation_problems(error, values))) from error


def _described(member: Member) -> str:
    node = "no node key" if member.node_key is None else f"node key …{member.node_key[-16:]}"
    return f"{member.kind} in {member.region}, {member.public_size} records, key {member.public_key[:16]}…, {node}"


def _entry_changes(old: Member, new: Member) -> Iterator[str]:
    if old.public_key != new.public_key:
        yield f"key {new.public_key[:16]}…, until now {old.public_key[:16]}…"
    if old.node_key != new.node_key:
        yield f"node key …{(new.node_key or 'none')[-16:]}, until now …{(old.node_key or 'none')[-16:]}"
    for name in ("kind", "region", "public_size"):
        if getattr(old, name) != getattr(new, name):
            yield f"{name.replace('_', ' ')} {getattr(new, name)}, until now {getattr(old, name)}"
