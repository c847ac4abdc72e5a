"""How two institutions name a person to each other: a hash under a key that only the two of them hold.

The key is agreed out of band. Whoever lacks it learns nothing from a hash. Whoever holds it can hash any id that they
can think of and look it up: against the other holder of the key a hash hides nothing, and only consent protects. Every
offer has a salt of its own, so that without the key nobody can tell who stands in two of them.
"""

import hmac
from collections.abc import Sequence

from fedcredit.wire.canonical import length_prefixed

HASH_BYTES = 32


def person_hashes(key: bytes, salt: bytes, sender: str, receiver: str, ids: Sequence[bytes]) -> tuple[bytes, ...]:
    """HMAC-SHA256 of each id, bound to one offer and to who tells whom; 32 bytes each.

    Parameters
    ----------
    key
        The pair key.
    salt
        Of the offer.
    sender, receiver
        Institution that offers, and the one that the offer is for.
    ids
        Ids that both institutions spell alike.
    """
    told = salt, sender.encode(), receiver.encode()
    return tuple(hmac.digest(key, length_prefixed("linked-person", *told, one), "sha256") for one in ids)
