"""One entry of the registry: a JSON value, chained to the entry before and signed by a person.

The chain is that of hash-linked time stamps (Haber & Stornetta 1991), as in the audit trail, under tags of its own. An
entry says what was decided, about which bytes, by whom and why; it holds no record's value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.wire.canonical import canonical_json, digest, length_prefixed, parse_json
from fedcredit.wire.envelope import SigningKey, verify_signature

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as stored.

    Attributes
    ----------
    number
        From 1.
    body
        Canonical JSON; `previous` among its values.
    signature
        64 bytes over the entry's hash.
    """

    number: int
    body: bytes
    signature: bytes

    @property
    def values(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = parse_json(self.body)
        return found

    @property
    def hash(self) -> bytes:
        """32 bytes that the next entry names."""
        return digest("registry-entry", self.body)


def new_entry(key: SigningKey, values: dict[str, Any], before: Entry | None) -> Entry:
    """Chain and sign what is said."""
    number, previous = (1, GENESIS) if before is None else (before.number + 1, before.hash)
    body = canonical_json({**values, "number": number, "previous": previous.hex()})
    return Entry(number, body, key.sign(_to_sign(digest("registry-entry", body))))


def require_chain(entries: Sequence[Entry], what: str) -> None:
    """Check that each entry is chained to the one before and signed by the key that it names.

    Raises
    ------
    LedgerError
        At the first that does not hold.
    """
    previous = GENESIS
    for place, entry in enumerate(entries, 1):
        try:
            values = entry.values
            key = bytes.fromhex(values["key"])
            chained = (entry.number, values["number"], bytes.fromhex(values["previous"])) == (place, place, previous)
            canonical = canonical_json(values) == entry.body and len(key) == len(GENESIS)
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"registry {what}, entry {place} cannot be read ({error}).") from error
        if not chained or not canonical:
            raise LedgerError(f"registry {what}, entry {place} does not hold: it was changed, or one is missing.")
        if not verify_signature(key, _to_sign(entry.hash), entry.signature):
            raise LedgerError(f"registry {what}, entry {place} is not signed by the key that it names.")
        previous = entry.hash


def _to_sign(entry_hash: bytes) -> bytes:
    return length_prefixed("registry-signature", entry_hash)
