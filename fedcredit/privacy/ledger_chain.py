"""The ledger's chain: each event hashes the one before, and the institution signs every head.

Cutting an event out, changing it or putting one in breaks every later hash; only the owner of the key could sign a
new chain, and its peers would see that heads they were told of are not in it. Only a recovery leaves counts out: as
many as it says. A change of key (`fedcredit.privacy.ledger_keys`) is an event like others, after which another key
signs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.privacy.events import GENESIS, decode_body, event_hash
from fedcredit.privacy.ledger_keys import KEY_CHANGED, changed_key, opening_key
from fedcredit.wire.canonical import length_prefixed
from fedcredit.wire.envelope import verify_signature
from fedcredit.wire.messages import Role

_ROLE_NAMES = {int(role): role.name.lower() for role in Role}


def bytes_to_sign(head: bytes) -> bytes:
    """What an event's signature covers."""
    return length_prefixed("ledger-signature", head)


def verify_chain(rows: Iterable[tuple[Any, ...]], public_key: bytes) -> None:
    """Check order, hashes, signatures, and that the columns say what the bodies say.

    Parameters
    ----------
    rows
        Per event: seq, kind, plan_hash, role, round, attempt, body, previous hash, hash, signature.
    public_key
        The institution's identity key: any one under which the ledger was ever kept.

    Raises
    ------
    LedgerError
        At the first event that does not hold.
    """
    for _ in verified(rows, public_key):
        pass


def verified(rows: Iterable[tuple[Any, ...]], public_key: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Count and JSON values of each event that holds, as in `verify_chain`."""
    previous = GENESIS
    count = 0
    keys: list[bytes] = []
    for seq, kind, plan_hash, role, round_, attempt, body, before, hash_, signature in rows:
        values = decode_body(body)
        keys = keys or [opening_key(values) or public_key]
        count += 1 + (_left_out(values) if kind == "recovered" else 0)
        columns = (kind, None if plan_hash is None else plan_hash.hex(), _ROLE_NAMES.get(role), round_, attempt)
        stated = tuple(values.get(name) for name in ("event", "plan_hash", "role", "round", "attempt"))
        chained = seq == count and before == previous and hash_ == event_hash(previous, body)
        if not chained or columns != stated or not verify_signature(keys[-1], bytes_to_sign(hash_), signature):
            raise LedgerError(f"ledger event {seq} does not hold; restore the ledger from its newest backup.")
        yield seq, values
        if kind == KEY_CHANGED:
            keys.append(changed_key(values, keys[-1], before))
        previous = hash_
    if count == 0:
        raise LedgerError("the ledger holds no opening event; restore it from its newest backup.")
    if public_key not in keys:
        raise LedgerError(
            f"the ledger does not hold under key {public_key.hex()}; it is kept under {keys[-1].hex()}. Compare both "
            "with the roster."
        )


def _left_out(recovery: dict[str, Any]) -> int:
    """How many counts a recovery leaves out; nothing is proved yet of what it says."""
    offset = recovery.get("count_offset")
    if not isinstance(offset, int) or offset < 0:
        raise LedgerError("a recovery in the ledger does not say how many events were lost; it is no ledger of ours.")
    return offset
