"""The units of each epoch of a population: an epoch has a budget of its own because nobody of an earlier one is in it.

Every join enters the units of its data. Its event carries a digest of those that were new in the epoch, with a random
salt, so that neither the event nor its length says how many they were, or whether there were any.
"""

import os
from dataclasses import dataclass

import numpy as np

from fedcredit.data.units import Units, unit_set
from fedcredit.errors import LedgerError
from fedcredit.wire.canonical import digest

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What a join writes into the table of units."""

    salt: bytes
    hashes: bytes

    @property
    def digest(self) -> bytes:
        """What the join's event says of it; 32 bytes."""
        return digest("ledger-units", self.salt, self.hashes)


@dataclass(frozen=True, slots=True)
class KnownUnits:
    """The units that a ledger has seen.

    Attributes
    ----------
    key_checks
        Check value of the data key at each join so far; None where the units were not known.
    earlier, present
        Hashes of the units of all earlier epochs, and of the present one.
    epoch
        Number of the present epoch, from 1.
    """

    key_checks: tuple[bytes | None, ...]
    earlier: bytes
    present: bytes
    epoch: int


def checked_entry(known: KnownUnits, units: Units | None) -> Entry | None:
    """What a join of these units adds to the present epoch.

    Raises
    ------
    LedgerError
        If they may not be charged to it. The sentence says neither how many nor which.
    """
    if units is None:
        if known.epoch > 1:
            raise LedgerError("this site's data have no ids, so nobody can tell that a new epoch holds new units.")
        return None
    require_disjoint(known, units)
    new = np.setdiff1d(units.hashes, unit_set(known.present), assume_unique=True)
    return Entry(os.urandom(_SALT_BYTES), new.tobytes())


def require_disjoint(known: KnownUnits, units: Units) -> None:
    """Refuse units that an earlier epoch has paid for.

    Raises
    ------
    LedgerError
        If one is there, or the data key has changed, under which none would be recognised.
    """
    if any(check not in (None, units.key_check) for check in known.key_checks):
        raise LedgerError("the data key is another one than the ledger knows; put the old one back.")
    if np.intersect1d(units.hashes, unit_set(known.earlier), assume_unique=True).size:
        raise LedgerError("this site's data hold units of an earlier epoch; leave them out, see 'ledger epoch'.")


def require_new_epoch(known: KnownUnits, units: Units | None) -> None:
    """Check that data may open the epoch after the present one.

    Raises
    ------
    LedgerError
        If ids are missing now or were at some join, the data key has changed, or a unit was ever entered before.
    """
    if units is None or None in known.key_checks:
        when = "this site's data have" if units is None else "data of an earlier job had"
        raise LedgerError(f"{when} no ids, so nobody can tell new units from old ones; stay in this epoch.")
    every = KnownUnits(known.key_checks, known.earlier + known.present, b"", known.epoch + 1)
    try:
        require_disjoint(every, units)
    except LedgerError as error:
        raise LedgerError(f"no new epoch: {error}") from error
