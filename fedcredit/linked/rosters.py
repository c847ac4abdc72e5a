"""The roster of a linked job, and the one after it that brings everybody back.

A linked job is run by the holders of linked rows alone, with public sizes of these rows. Its roster is the version
that follows the base roster, so that no custodian can be led back to an older one; the version after it lists the base
roster's members as they were. Both are written before anybody signs: a roster's hash does not cover its signatures.
Nothing holds until every member of it has signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from fedcredit.errors import ConfigError
from fedcredit.provisioning.application import size_fault
from fedcredit.roster import Member, Roster


@dataclass(frozen=True, slots=True)
class LinkedRosters:
    """Two versions in a row.

    Attributes
    ----------
    linked
        Of the linked job.
    following
        The base roster's members and sizes again.
    """

    linked: Roster
    following: Roster


def linked_rosters(base: Roster, sizes: Mapping[str, int], expires: date | None = None) -> LinkedRosters:
    """Derive both rosters.

    Parameters
    ----------
    base
        The roster of the base job, signed by all.
    sizes
        Public, rounded number of linked rows of each institution that takes part.
    expires
        Last day of the linked roster; the base roster's if None.

    Raises
    ------
    ConfigError
        If an institution is unknown, they are of different types, or a size is not rounded or more than its holder's.
    """
    unknown = [name for name in sizes if base.member(name) is None]
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)} is not in the base roster; known: {', '.join(one.id for one in base.members)}."
        )
    chosen = tuple(_with_size(one, sizes[one.id]) for one in base.members if one.id in sizes)
    kinds = sorted({one.kind for one in chosen})
    if len(kinds) != 1:
        raise ConfigError(
            f"a linked job scores the customers of one institution type; these are of {' and '.join(kinds) or 'none'}."
        )
    linked = Roster(
        version=base.version + 1,
        previous=base.digest().hex(),
        expires=expires or base.expires,
        members=chosen,
    )
    following = base.model_copy(update={"version": base.version + 2, "previous": linked.digest().hex()})
    return LinkedRosters(linked, following)


def _with_size(member: Member, size: int) -> Member:
    if fault := size_fault(size):
        raise ConfigError(f"{member.id}: {fault}")
    if not 1 <= size <= member.public_size:
        raise ConfigError(
            f"{member.id}: {size} linked rows of {member.public_size} records; write a rounded number from 1 to that."
        )
    return member.model_copy(update={"public_size": size})
