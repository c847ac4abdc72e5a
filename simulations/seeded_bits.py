"""A seeded bit source, so that a simulation can be repeated to the bit.

Whoever knows the seed can subtract the noise: nothing that used it is private, and every artefact says ``seeded
(simulation)``. A custodian with a policy refuses it.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedcredit.privacy.bits import noise_context
from fedcredit.wire.envelope import SigningKey


class SeededBitSource:
    """Bits that depend on a public seed and an institution's name only.

    Parameters
    ----------
    seed
        Any integer.
    institution
        Institutions with one seed draw independent bits.
    """

    def __init__(self, seed: int, institution: str) -> None:
        self._key = hashlib.sha256(noise_context(b"seeded", str(seed).encode(), institution.encode())).digest()

    def stream(self, context: bytes, n_bytes: int) -> bytes:
        """The same seed, institution and context give the same bytes."""
        key = hmac.digest(self._key, context, "sha256")
        return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(n_bytes))

    def wipe(self) -> None:
        """Nothing to forget: a seed is no secret."""


def seeded_identity(seed: int, name: str) -> SigningKey:
    """Identity key of a simulated party; anyone can work it out from the seed."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(SeededBitSource(seed, name).stream(b"identity", 32)))
