"""One line of an audit trail: a JSON value, chained to the line before and signed by the institution.

The chain is that of hash-linked time stamps (Haber & Stornetta 1991): whoever changes, removes or inserts a line has to
sign every later one anew. A line says what was asked and decided; it never holds a record's value or a sum.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import LedgerError
from fedcredit.wire.canonical import canonical_json, digest, length_prefixed, parse_json
from fedcredit.wire.envelope import PUBLIC_KEY_BYTES, SigningKey, verify_signature

GENESIS = bytes(32)
KEY_CHANGED = "key_changed"


@dataclass(frozen=True, slots=True)
class Link:
    """The newest line of a trail: its number and its hash."""

    number: int
    hash: bytes


BEFORE_FIRST = Link(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as read.

    Attributes
    ----------
    values
        What it says; `number` and `previous` among it.
    link
        Its number and stated hash.
    signature
        64 bytes over the hash.
    """

    values: dict[str, Any]
    link: Link
    signature: bytes

    @property
    def previous(self) -> bytes:
        """Hash of the line before."""
        return bytes.fromhex(self.values["previous"])

    def signed_by(self, public_key: bytes) -> bool:
        """Whether the institution with that identity key signed the line."""
        return verify_signature(public_key, _to_sign(self.link.hash), self.signature)


def write_line(key: SigningKey, values: dict[str, Any], before: Link) -> tuple[bytes, Link]:
    """The bytes of the line after `before`, with the newline, and its own link."""
    entry = {**values, "number": before.number + 1, "previous": before.hash.hex()}
    link = Link(before.number + 1, _hash(entry))
    signature = key.sign(_to_sign(link.hash))
    return canonical_json({"entry": entry, "hash": link.hash.hex(), "signature": signature.hex()}) + b"\n", link


def read_lines(data: bytes, what: str) -> Iterator[Line]:
    """Read lines and check that each is chained to the one before; signatures are left to the caller.

    Parameters
    ----------
    what
        Name of the file, for messages.

    Raises
    ------
    LedgerError
        At the first line that is none of ours or does not follow.
    """
    before: Link | None = None
    for place, text in enumerate(data.splitlines(), 1):
        try:
            line = _read(text)
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"audit trail {what}, line {place} cannot be read ({error}).") from error
        follows = before is None or (line.link.number, line.previous) == (before.number + 1, before.hash)
        if not follows or line.link.hash != _hash(line.values):
            raise LedgerError(f"audit trail {what}, line {place} does not hold: it was changed, or one is missing.")
        yield line
        before = line.link


def key_change(old: bytes, new: SigningKey, before: Link) -> dict[str, Any]:
    """What the line after `before` says of a change of key; the new key signs it, so that nobody names another's."""
    proof = new.sign(_change_to_sign(old, new.public, before.hash)).hex()
    return {"event": KEY_CHANGED, "old_public_key": old.hex(), "new_public_key": new.public.hex(), "proof": proof}


def names_next(line: Line, public_key: bytes) -> bool:
    """Whether a line says that this key signs the lines after it."""
    return line.values.get("event") == KEY_CHANGED and line.values.get("new_public_key") == public_key.hex()


def require_signed(lines: Iterable[Line], public_keys: Collection[bytes], what: str) -> None:
    """Check that each line is signed by one of some keys.

    Raises
    ------
    LedgerError
        At the first line that another key signed.
    """
    for line in lines:
        if not any(line.signed_by(key) for key in public_keys):
            keys = " or ".join(key.hex() for key in public_keys)
            raise LedgerError(f"audit trail {what}, line {line.link.number} is not signed by {keys}.")


def require_signed_in_turn(lines: Sequence[Line], public_key: bytes, what: str) -> None:
    """Check every signature of a trail in which a change of key lets another key go on.

    Parameters
    ----------
    public_key
        The institution's: any one under which these lines were written.

    Raises
    ------
    LedgerError
        At the first line that another key signed.
    """
    changes = [line for line in lines if line.values.get("event") == KEY_CHANGED]
    if not changes:
        require_signed(lines, (public_key,), what)
        return
    keys = [_bytes_of(changes[0].values, "old_public_key")]
    keys += [_bytes_of(line.values, "new_public_key") for line in changes]
    if public_key not in keys or any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        raise LedgerError(f"audit trail {what} was never written under key {public_key.hex()}.")
    for line in lines:
        require_signed((line,), keys[:1], what)
        if line.values.get("event") == KEY_CHANGED:
            old, proof = keys.pop(0), _bytes_of(line.values, "proof")
            if not verify_signature(keys[0], _change_to_sign(old, keys[0], line.previous), proof):
                raise LedgerError(f"audit trail {what}, line {line.link.number} names a key that did not sign it.")


def _read(text: bytes) -> Line:
    value = parse_json(text)
    if not isinstance(value, dict) or set(value) != {"entry", "hash", "signature"} or canonical_json(value) != text:
        raise ValueError("no line of ours")
    entry = value["entry"]
    line = Line(entry, Link(int(entry["number"]), bytes.fromhex(value["hash"])), bytes.fromhex(value["signature"]))
    if len(line.previous) != len(GENESIS):
        raise ValueError("a hash of the wrong length")
    return line


def _bytes_of(values: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(str(values.get(name, "")))
    except ValueError:
        return b""


def _change_to_sign(old: bytes, new: bytes, before: bytes) -> bytes:
    return length_prefixed("audit-key-change", old, new, before)


def _hash(entry: dict[str, Any]) -> bytes:
    return digest("audit-line", canonical_json(entry))


def _to_sign(line_hash: bytes) -> bytes:
    return length_prefixed("audit-signature", line_hash)
