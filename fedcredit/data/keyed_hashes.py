"""HMAC-SHA256 of many short messages under one key: what gives millions of rows their role and their fingerprint.

The same bytes as `hmac.digest`, in half the time: OpenSSL looks its algorithm up again for each one-shot call, which
takes longer than the hash itself. Here the two blocks of the key are hashed once, and their states are copied.

References
----------
Krawczyk, Bellare, Canetti, "HMAC: Keyed-Hashing for Message Authentication", RFC 2104, sections 2 and 4.
"""

import hashlib
from collections.abc import Iterable, Iterator

_BLOCK = 64


def keyed_hashes(key: bytes, tag: bytes, messages: Iterable[bytes]) -> Iterator[bytes]:
    """HMAC-SHA256 of the tag and each message, 32 bytes each.

    Parameters
    ----------
    key
        Of any length.
    tag
        What all messages begin with, for the purpose's sake.
    """
    short = key if len(key) <= _BLOCK else hashlib.sha256(key).digest()
    block = short.ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + tag)
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
    for message in messages:
        hashed, whole = inner.copy(), outer.copy()
        hashed.update(message)
        whole.update(hashed.digest())
        yield whole.digest()
