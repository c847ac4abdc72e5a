"""Pairwise masks over the integers modulo 2^64: they hide each member's vector and cancel in the members' sum.

Each pair of members expands its secret into one stream of words; the lower id adds it, the higher subtracts it. Who
lacks one of the two secrets sees uniform words. Every key is bound to the pair's identities, public keys and key
epochs, to the transcript, and to the place of the message, so that

* a member that republishes another's public key under its own id derives other keys than its victim's peers;
* members that were shown another plan, roster, model, round or attempt do not cancel: the sum is noise;
* a new attempt has new masks, so no difference of two attempts removes one.

Nobody can unmask a member that stays away; the round is asked again, as a new attempt (Bonawitz et al. 2017 without
the secret sharing that a malicious coordinator turns against its members).

References
----------
RFC 5869 (HKDF), RFC 8439 (ChaCha20). Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving
machine learning".
"""

from dataclasses import dataclass
from typing import Never, final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedcredit.errors import PrivacyError, RefusalError
from fedcredit.privacy.bits import MAX_STREAM_BYTES
from fedcredit.roster import FEWEST_MEMBERS
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript
from fedcredit.wire.canonical import length_prefixed
from fedcredit.wire.messages import Role

PAIR_KEY_BYTES = 32
WORD_BYTES = 8
# Each stream has a key of its own, so counter and nonce start from zero.
_COUNTER_AND_NONCE = bytes(16)


@dataclass(frozen=True, slots=True)
class MaskPlace:
    """The one message that a mask is for.

    Attributes
    ----------
    job, plan_hash
        The job and its plan.
    role, round, attempt
        Which of the plan's messages.
    roster_hash
        `Roster.attempt_digest` of the members that the attempt asks.
    model_hash
        Hash of the exact model bytes that the member used.
    """

    job: str
    plan_hash: bytes
    role: Role
    round: int
    attempt: int
    roster_hash: bytes
    model_hash: bytes


def pair_info(place: MaskPlace, lower: PeerKey, higher: PeerKey) -> bytes:
    """What a pair key is bound to besides the transcript; numbers are decimal digits."""
    return length_prefixed(
        "pair-mask",
        lower.institution.encode(),
        higher.institution.encode(),
        lower.agreement_key,
        higher.agreement_key,
        str(lower.key_epoch).encode(),
        str(higher.key_epoch).encode(),
        place.job.encode(),
        place.role.name.lower().encode(),
        str(place.round).encode(),
        str(place.attempt).encode(),
        place.roster_hash,
        place.plan_hash,
        place.model_hash,
    )


def pair_key(
    secret: bytes | bytearray, transcript_hash: bytes, place: MaskPlace, lower: PeerKey, higher: PeerKey
) -> bytes:
    """The key of one pair's stream for one message; 32 bytes.

    Parameters
    ----------
    secret
        The pair's X25519 secret.
    transcript_hash
        `Transcript.digest`.
    place
        The message.
    lower, higher
        The pair, by plain string order of the ids.

    Raises
    ------
    PrivacyError
        If the two stand in the wrong order, in which case the masks could not cancel.
    """
    if not lower.institution < higher.institution:
        raise PrivacyError(f"{lower.institution!r} must sort before {higher.institution!r}; swap the pair.")
    hkdf = HKDF(SHA256(), PAIR_KEY_BYTES, salt=transcript_hash, info=pair_info(place, lower, higher))
    return hkdf.derive(secret)


@final
class Mask:
    """One member's mask for one message: applied once, then forgotten. It cannot be copied, pickled or printed."""

    __slots__ = ("_length", "_signed_keys")

    def __init__(self, signed_keys: list[tuple[bool, bytearray]], length: int) -> None:
        """Take over the stream key of each pair (True: added, False: subtracted); `apply` overwrites them."""
        self._signed_keys = signed_keys
        self._length = length

    def apply(self, vector: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return `vector` plus the mask, modulo 2^64.

        Raises
        ------
        PrivacyError
            If the mask was applied before, or the vector is not the int64 vector of the length that it was made for.
        """
        if vector.dtype != np.int64 or vector.shape != (self._length,):
            raise PrivacyError(
                f"a mask of {self._length} int64 words does not fit a vector of type {vector.dtype} and shape "
                f"{vector.shape}; use the plan's layout."
            )
        signed_keys, self._signed_keys = self._signed_keys, []
        if not signed_keys:
            raise PrivacyError("this mask was applied before; a second vector under it would reveal the difference.")
        return _masked(vector, signed_keys)

    def __repr__(self) -> str:
        return "Mask(hidden)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise PrivacyError("a mask is for one vector; it cannot be copied or pickled.")


@final
class PairSecrets:
    """A custodian's secrets with all other members of one transcript, in memory only.

    They are computed once at construction: every round then costs one key derivation and one stream per member.
    They cannot be copied, pickled or printed; about `wipe`, see `AgreementKey`.

    Parameters
    ----------
    key
        The job's agreement key; it stays the caller's, to wipe or to meet the next transcript.
    institution
        The custodian's own id.
    transcript
        The checked joins.

    Raises
    ------
    RefusalError
        With code ``keys-own`` if the transcript does not hold this key under this id, ``keys-zero`` if a member's
        key has small order.
    """

    __slots__ = ("_own", "_secrets", "_transcript")

    def __init__(self, key: AgreementKey, institution: str, transcript: Transcript) -> None:
        own = transcript.peer(institution)
        if own is None or own.agreement_key != key.public:
            raise RefusalError("keys-own", f"the transcript does not hold the key of {institution!r}; join again.")
        self._own = own
        self._transcript = transcript
        self._secrets = {
            peer.institution: bytearray(key.secret_with(peer.agreement_key))
            for peer in transcript.peers
            if peer.institution != institution
        }

    @property
    def transcript(self) -> Transcript:
        """The joins under which everything is masked."""
        return self._transcript

    def mask(self, place: MaskPlace, members: tuple[str, ...], length: int) -> Mask:
        """Make the mask of one message.

        Parameters
        ----------
        place
            The message; its roster hash must be that of `members`.
        members
            Whom the attempt asks, ourselves included.
        length
            Number of words.

        Raises
        ------
        RefusalError
            With code ``keys-member`` if fewer than 3 members are asked, if one is listed twice or is not in the
            transcript, or if we are not among them.
        PrivacyError
            If the secrets were wiped or the length is out of range.
        """
        if not self._secrets:
            raise PrivacyError("the pair secrets were wiped when their job ended; join the job again.")
        if not 1 <= length <= MAX_STREAM_BYTES // WORD_BYTES:
            raise PrivacyError(f"a mask has 1 to 2^35 words, got length={length}; split the vector.")
        peers = self._others(members)
        return Mask([(self._own.institution < peer.institution, self._key(place, peer)) for peer in peers], length)

    def wipe(self) -> None:
        """Overwrite the secrets with zeros; further use raises. Wiping twice is allowed."""
        for secret in self._secrets.values():
            secret[:] = bytes(len(secret))
        self._secrets = {}

    def _others(self, members: tuple[str, ...]) -> list[PeerKey]:
        known = {peer.institution: peer for peer in self._transcript.peers}
        strangers = [name for name in members if name not in known]
        if strangers:
            raise RefusalError("keys-member", f"member {strangers[0]!r} has no signed key in this job's transcript.")
        distinct = len(set(members))
        if distinct < max(FEWEST_MEMBERS, len(members)) or self._own.institution not in members:
            raise RefusalError(
                "keys-member",
                f"an attempt asks {FEWEST_MEMBERS} distinct members or more, {self._own.institution!r} among them; "
                f"got {len(members)}, {distinct} of them distinct.",
            )
        return [known[name] for name in members if name != self._own.institution]

    def _key(self, place: MaskPlace, peer: PeerKey) -> bytearray:
        lower, higher = sorted((self._own, peer), key=lambda member: member.institution)
        secret = self._secrets[peer.institution]
        return bytearray(pair_key(secret, self._transcript.digest, place, lower, higher))

    def __repr__(self) -> str:
        return "PairSecrets(hidden)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise PrivacyError("pair secrets never leave their process; they cannot be copied or pickled.")


def _masked(vector: NDArray[np.int64], signed_keys: list[tuple[bool, bytearray]]) -> NDArray[np.int64]:
    """Add or subtract one stream per key, unsigned because that wraps by definition; keys and streams are wiped."""
    total = vector.astype(np.uint64)
    zeros, stream = bytes(WORD_BYTES * vector.size), bytearray(WORD_BYTES * vector.size)
    words = np.frombuffer(stream, dtype="<u8")
    for added, key in signed_keys:
        Cipher(ChaCha20(key, _COUNTER_AND_NONCE), mode=None).encryptor().update_into(zeros, stream)
        (np.add if added else np.subtract)(total, words, out=total)
        key[:] = bytes(len(key))
    stream[:] = zeros
    return total.view(np.int64)
