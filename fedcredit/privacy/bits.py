"""Where privacy randomness comes from: a keyed stream whose key the operating system drew.

Noise is not drawn from a running generator but is a function of (key, context). The caller puts into the
context whatever names the release, and the hash of the vector to be noised, so that

* the same release of the same vector repeats the same bytes: a fork of the process, a copied virtual
  machine or a restored snapshot publishes nothing new by running again;
* any other vector, round or attempt gets independent bytes: two vectors never go out under the same noise,
  where subtracting one from the other would remove it.

The generator's state cannot be rewound because it has none. A forked child holds the same key, which by the
first point is harmless; that is why no process id is checked.

`OsBitSource` is the only source here and takes no argument: nobody can seed it.

References
----------
RFC 2104 (HMAC), RFC 8439 (ChaCha20).
"""

import hmac
import os
from typing import Never, Protocol, final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedcredit.errors import PrivacyError

KEY_BYTES = 32
MAX_STREAM_BYTES = 2**38  # ChaCha20's 32-bit counter of 64-byte blocks
_DOMAIN = b"fedcredit/privacy/bits/v1"
# Each stream has a key of its own, so counter and nonce start from zero.
_COUNTER_AND_NONCE = bytes(16)


class BitSource(Protocol):
    """A source of privacy randomness."""

    def stream(self, context: bytes, n_bytes: int) -> bytes:
        """Return `n_bytes` bytes made from `context` and a secret, random to anyone without the secret.

        Equal contexts give equal bytes (a shorter request a prefix); different contexts independent ones.
        """
        ...

    def wipe(self) -> None:
        """Forget the secret; using the source afterwards is an error."""
        ...


def noise_context(*fields: bytes) -> bytes:
    """Encode fields into one context, unambiguously: each is preceded by its length (8 bytes, big-endian)."""
    return b"".join(len(field).to_bytes(8, "big") + field for field in fields)


@final
class OsBitSource:
    """Bits from a key drawn from the operating system at construction and held in memory only.

    It cannot be copied, pickled or printed, and `wipe` overwrites the key. Python may have left other copies
    in memory that was freed since: wiping shortens the key's life but does not stop somebody who reads the
    memory of the process.
    """

    __slots__ = ("_key",)

    def __init__(self) -> None:
        self._key = bytearray(os.urandom(KEY_BYTES))

    def stream(self, context: bytes, n_bytes: int) -> bytes:
        """Return `n_bytes` bytes of ChaCha20 under HMAC-SHA256(key, domain tag and context).

        Parameters
        ----------
        context
            Canonical bytes naming this use, from :func:`noise_context`: the kind of use, the release and the
            hash of the vector to be noised.
        n_bytes
            Length, from 0 to 2^38.

        Raises
        ------
        PrivacyError
            If the key was wiped or the length is out of range.
        """
        if not any(self._key):
            raise PrivacyError("this noise key was wiped when its job ended; join the job again to draw a new one.")
        if not 0 <= n_bytes <= MAX_STREAM_BYTES:
            raise PrivacyError(f"n_bytes must lie between 0 and 2^38, got n_bytes={n_bytes}; split the release.")
        key = hmac.digest(self._key, noise_context(_DOMAIN, context), "sha256")
        return Cipher(ChaCha20(key, _COUNTER_AND_NONCE), mode=None).encryptor().update(bytes(n_bytes))

    def wipe(self) -> None:
        """Overwrite the key with zeros; further use raises. Wiping twice is allowed."""
        self._key[:] = bytes(KEY_BYTES)

    def __repr__(self) -> str:
        return "OsBitSource(key hidden)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise PrivacyError("a noise key never leaves its process; it cannot be copied or pickled.")
