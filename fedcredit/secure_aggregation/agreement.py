"""The per-job key from which an institution agrees on one secret with every other member.

X25519 gives two members the same 32 bytes without anybody else learning them. The key is drawn from the operating
system at join, lives in memory only and is wiped at release: a stolen disk, or a key that is read after the job,
unmasks nothing.

X25519 maps several public keys to the same secrets: other encodings of one coordinate, and points that differ by one
of small order. `secret_class` tells keys apart by what they do. A key of small order gives everybody the all-zero
secret, so it is refused.

References
----------
RFC 7748 (X25519 and its check for the all-zero secret).
"""

import os
from typing import Never, final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fedcredit.errors import PrivacyError, RefusalError

KEY_BYTES = 32
# X25519 clamps it to the scalar 2^254: public, and like every clamped scalar a multiple of the cofactor.
_CLASS_SCALAR = bytes(KEY_BYTES)


@final
class AgreementKey:
    """An X25519 key drawn from the operating system at construction and held in memory only.

    It cannot be copied, pickled or printed, and `wipe` overwrites it. Python may have left other copies in memory
    that was freed since: wiping shortens the key's life but does not stop somebody who reads the process's memory.
    """

    __slots__ = ("_key",)

    def __init__(self) -> None:
        self._key = bytearray(os.urandom(KEY_BYTES))

    @property
    def public(self) -> bytes:
        """The 32-byte public key.

        Raises
        ------
        PrivacyError
            If the key was wiped.
        """
        return self._private_key().public_key().public_bytes_raw()

    def secret_with(self, peer_public: bytes) -> bytes:
        """The 32 bytes that only this key and the peer's can compute.

        Raises
        ------
        RefusalError
            With code ``keys-zero`` if the peer's key has small order, so that the secret would be all zero.
        PrivacyError
            If the key was wiped.
        """
        return _exchange(self._private_key(), peer_public)

    def wipe(self) -> None:
        """Overwrite the key with zeros; further use raises. Wiping twice is allowed."""
        self._key[:] = bytes(KEY_BYTES)

    def _private_key(self) -> X25519PrivateKey:
        if not any(self._key):
            raise PrivacyError("this agreement key was wiped when its job ended; join the job again to draw a new one.")
        return X25519PrivateKey.from_private_bytes(self._key)

    def __repr__(self) -> str:
        return "AgreementKey(hidden)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise PrivacyError("an agreement key never leaves its process; it cannot be copied or pickled.")


def secret_class(public: bytes) -> bytes:
    """Equal for two public keys exactly when they give the same secret with every private key; 32 bytes.

    Raises
    ------
    RefusalError
        With code ``keys-zero`` if the key has small order.
    """
    return _exchange(X25519PrivateKey.from_private_bytes(_CLASS_SCALAR), public)


def _exchange(private_key: X25519PrivateKey, peer_public: bytes) -> bytes:
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except ValueError as error:
        # The library says so for an all-zero secret, and for a key of another length.
        raise RefusalError(
            "keys-zero",
            f"agreement key {peer_public.hex()} is no usable X25519 key: it would make the pair's secret public.",
        ) from error
