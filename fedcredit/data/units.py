"""Which units take part, as keyed hashes: what a ledger compares before it opens another epoch.

The key is the institution's own, so that the hashes say nothing to anyone else, and a hash of the key itself stands
beside them: under another key all hashes are new, and two sets of the same persons would look disjoint. Whether the ids
are stable, one per person or record for life, is for the institution to see to.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNIT_BYTES = 16

# BLAKE2 (RFC 7693) has a place for a key and one for a purpose, of 16 bytes at most.
_UNIT = b"fedcredit-unit"
_KEY = b"fedcredit-ukey"


@dataclass(frozen=True, slots=True)
class Units:
    """A set of units.

    Attributes
    ----------
    key_check
        Hash of the key under which the units were hashed, 32 bytes.
    hashes
        Keyed hashes of the units' ids, 16 bytes each, sorted, each once; shape (n,), dtype ``S16``.
    """

    key_check: bytes
    hashes: NDArray[np.bytes_]


def hash_units(ids: Iterable[bytes], key: bytes) -> Units:
    """Hash the ids of the units that take part.

    Parameters
    ----------
    ids
        In any order; an id may stand more than once.
    key
        The institution's secret, 16 to 64 bytes.
    """
    return units_of(unit_hashes(set(ids), key), key)


def unit_hashes(ids: Iterable[bytes], key: bytes) -> bytes:
    """Keyed hash of each id, 16 bytes each, one after another."""
    return b"".join(hashlib.blake2b(unit, digest_size=UNIT_BYTES, key=key, person=_UNIT).digest() for unit in ids)


def units_of(hashes: bytes | bytearray | memoryview, key: bytes) -> Units:
    """The set of units behind hashes from `unit_hashes`, of any number of parts of the ids."""
    return Units(hashlib.blake2b(key=key, digest_size=32, person=_KEY).digest(), unit_set(hashes))


def unit_set(data: bytes | bytearray | memoryview) -> NDArray[np.bytes_]:
    """The set whose members stand one after another in `data`."""
    # Fixed width: numpy cuts trailing zero bytes off single elements only, and compares in full.
    return np.unique(np.frombuffer(data, dtype=f"S{UNIT_BYTES}"))
