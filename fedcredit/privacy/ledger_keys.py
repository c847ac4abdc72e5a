"""Under which identity key a ledger goes on: an event, signed by the old key, names the new one.

The new key signs the change as well, bound to the head before it, so nobody can name a key that is not theirs. From the
next event on the new key signs, and every later head vouches for all that the old key has signed.
"""

from collections.abc import Mapping
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.wire.canonical import length_prefixed
from fedcredit.wire.envelope import PUBLIC_KEY_BYTES, SigningKey, verify_signature

KEY_CHANGED = "key_changed"


def change_body(old: bytes, new: SigningKey, head: bytes) -> dict[str, Any]:
    """What the event says that follows `head`."""
    proof = new.sign(_to_sign(old, new.public, head))
    return {"event": KEY_CHANGED, "new_public_key": new.public.hex(), "proof": proof.hex()}


def changed_key(values: Mapping[str, Any], old: bytes, head: bytes) -> bytes:
    """The key that a change names.

    Raises
    ------
    LedgerError
        If that key did not sign the change.
    """
    new, proof = _bytes_of(values, "new_public_key"), _bytes_of(values, "proof")
    if len(new) != PUBLIC_KEY_BYTES or not verify_signature(new, _to_sign(old, new, head), proof):
        raise LedgerError("a change of key in the ledger does not hold; restore the ledger from its newest backup.")
    return new


def opening_key(values: Mapping[str, Any]) -> bytes | None:
    """The key that a ledger's opening names; None if it names none."""
    key = _bytes_of(values, "public_key")
    return key if len(key) == PUBLIC_KEY_BYTES else None


def _bytes_of(values: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(values.get(name, ""))
    except (ValueError, TypeError):
        return b""


def _to_sign(old: bytes, new: bytes, head: bytes) -> bytes:
    return length_prefixed("ledger-key-change", old, new, head)
