"""Canonical bytes: what is hashed and signed, spelled once.

Every hash and signature in the project is over length-prefixed fields behind a domain tag, so that no two different
lists of fields give the same bytes and a hash made for one purpose is never valid for another.
"""

import hashlib
import json
import struct
from collections import Counter
from typing import Any

PROTOCOL_VERSION = 1
_MOST_NAMED = 5


def length_prefixed(tag: str, *fields: bytes) -> bytes:
    """Join a domain tag and fields, each behind its length as eight little-endian bytes."""
    parts = [f"fedcredit.v{PROTOCOL_VERSION}.{tag}".encode(), *fields]
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def digest(tag: str, *fields: bytes) -> bytes:
    """SHA-256 of `length_prefixed`; 32 bytes."""
    return hashlib.sha256(length_prefixed(tag, *fields)).digest()


def canonical_json(value: Any) -> bytes:  # noqa: ANN401  (JSON is any)
    """Serialise JSON with sorted keys, no blanks and no NaN: one value, one byte string.

    Raises
    ------
    ValueError
        If `value` holds NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def parse_json(data: bytes) -> Any:  # noqa: ANN401
    """Parse JSON, refusing repeated keys, NaN and infinities.

    Raises
    ------
    ValueError
        If the bytes are not JSON, are nested too deeply, repeat a key, or hold a number that JSON does not know.
    """
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply; no document of ours is.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # One pass: a document of a million keys must not take a million times that.
        counts = Counter(key for key, _ in pairs)
        repeated = sorted(key for key, times in counts.items() if times > 1)[:_MOST_NAMED]
        raise ValueError(f"JSON repeats the keys {repeated}; each key may stand once.")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"JSON holds {name}, which is not a number; write null or a finite number.")
