"""The attacker's decoder: takes off every mask that it has a key for, then tries every sum and difference.

Packets of one round may be combined over all its attempts with coefficients -1, 0 and 1. What a combination shows is
judged by somebody who knows the honest members' exact vectors. It must be

* masked: uniform words, by a chi-square test over all eight bytes of 10^5 words or more; or
* sums: of each attempt either nothing or all honest members together, who were told one and the same thing, with noise
  that is measured, that is what their shares sum to, and that per attempt is the plan's or more.

Everything else is a leak. The difference of two attempts' sums may hold one institution's vector; by the second point
its noise then has twice the plan's variance or more, which is what the threat model says about rosters that vary.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray
from scipy import stats

from fedcredit.custodian.custodian import Custodian
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement
from fedcredit.privacy.shares import share_variance
from fedcredit.secure_aggregation import masks
from fedcredit.secure_aggregation.transcript import FEWEST_MEMBERS, PeerKey, transcript_digest
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import JoinReply, Role, decode_message
from tests.adversary.players import Attacker, Packet, View
from tests.privacy_checks import exact_sums

FEWEST_WORDS = 100_000
UNIFORM_P = 1e-6
NOISE_P = 1e-9
# A word that is not masked is far smaller; all words of a masked vector are below it with a chance of 2^-1280.
_SMALL, _LOOKED_AT = 2**43, 64
Words = NDArray[np.uint64]
NO_HEAD = Head("", 0, bytes(32), bytes(64))


def peers(packet: Packet) -> dict[str, PeerKey]:
    """The keys that a packet's sender was shown; nothing is checked."""
    envelopes = [open_envelope(join) for join in packet.joins]
    read = {envelope.sender: decode_message(envelope.kind, envelope.payload) for envelope in envelopes}
    return {
        name: PeerKey(name, join.agreement_key, join.key_epoch, NO_HEAD)
        for name, join in read.items()
        if isinstance(join, JoinReply)
    }


def secret(view: View, sender: PeerKey, peer: PeerKey) -> bytes | None:
    """A pair's secret, where the attacker can work it out."""
    for own, other in ((peer, sender), (sender, peer)):
        if own.agreement_key == bytes(32):
            return bytes(32)
        private = view.agreement_keys.get(own.agreement_key)
        if private is not None:
            return private.exchange(X25519PublicKey.from_public_bytes(other.agreement_key))
    return None


def strip(view: View, packet: Packet) -> Words:
    """A packet less the masks that the attacker has keys for."""
    words = np.frombuffer(packet.message.vector, dtype="<u8").astype(np.uint64)
    if not packet.joins:
        return words
    message, keys = packet.message, peers(packet)
    place = masks.MaskPlace(
        packet.plan.job,
        message.plan_hash,
        message.role,
        message.round,
        message.attempt,
        message.roster_hash,
        message.model_hash,
    )
    transcript = transcript_digest(message.plan_hash, packet.joins)
    for name in dict.fromkeys(packet.request.members):
        known = name in keys and name != packet.sender
        shared = secret(view, keys[packet.sender], keys[name]) if known else None
        if shared is None:
            continue
        lower, higher = sorted((keys[packet.sender], keys[name]), key=lambda peer: peer.institution)
        key = masks.pair_key(shared, transcript, place, lower, higher)
        stream = np.frombuffer(_keystream(key, words.nbytes), dtype="<u8")
        words = words - stream if packet.sender == lower.institution else words + stream
    return words


def _keystream(key: bytes, n_bytes: int) -> bytes:
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(n_bytes))


def uniform_p(words: Words) -> float:
    """Chi-square p-value of words that should be uniform over 64 bits, byte position by byte position."""
    if words.size < FEWEST_WORDS:
        raise ValueError(f"{words.size} words are too few to tell masked from not; take {FEWEST_WORDS}.")
    octets = words.view(np.uint8)
    counts = np.concatenate([np.bincount(octets[place::8], minlength=256) for place in range(8)])
    expected = words.size / 256
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), 8 * 255))


def variance_p(squares: NDArray[np.float64]) -> float:
    """Two-sided p-value that squares of standard scores have mean 1."""
    total, size = float(squares.sum()), squares.size
    return 2 * float(min(stats.chi2.sf(total, size), stats.chi2.cdf(total, size)))


@dataclass(frozen=True)
class Truth:
    """What nobody holds outside a test: the honest members' exact vectors."""

    honest: Mapping[str, Custodian]

    def exact(self, packet: Packet) -> Words:
        one, asked = self.honest[packet.sender], packet.request
        return exact_sums(one, packet.plan, asked.role, asked.model).astype(np.uint64)

    def share(self, packet: Packet) -> float:
        """Variance of the noise that the packet's sender owes."""
        variance = packet.plan.phases.of(packet.request.role).noise_variance[self.honest[packet.sender]._site.kind]
        if packet.plan.privacy.placement is not Placement.DISTRIBUTED:
            return float(variance)
        return float(share_variance(variance, len(packet.request.members), packet.plan.privacy.colluders))

    def noisy(self, packet: Packet) -> NDArray[np.bool_]:
        """Coordinates to which the packet's sender adds noise."""
        kind, plan = self.honest[packet.sender]._site.kind, packet.plan
        if plan.privacy.placement is Placement.DISTRIBUTED:
            return np.ones(plan.phases.of(packet.request.role).vector_length, dtype=np.bool_)
        return owned_coordinates(plan, self.honest[packet.sender]._site.dictionary, packet.request.role, kind)


@dataclass(frozen=True)
class Finding:
    """What one combination of packets shows.

    Attributes
    ----------
    parts
        Packets with coefficients other than 0.
    stripped, exact
        Their words without the corrupt members' masks, and their senders' exact vectors.
    """

    parts: tuple[tuple[int, Packet], ...]
    stripped: tuple[Words, ...]
    exact: tuple[Words, ...]
    truth: Truth

    @cached_property
    def residual(self) -> Words:
        """The combination of the stripped packets."""
        return self._combined(self.stripped)

    @cached_property
    def noise(self) -> NDArray[np.int64]:
        """The residual less the same combination of exact vectors."""
        return (self.residual - self._combined(self.exact)).view(np.int64)

    @cached_property
    def open(self) -> bool:
        """Whether no mask is left: the noise is small."""
        first = [vector[:_LOOKED_AT] for vector in self.stripped], [vector[:_LOOKED_AT] for vector in self.exact]
        noise = (self._combined(first[0]) - self._combined(first[1])).view(np.int64)
        return bool(np.all(np.abs(noise.astype(np.float64)) < _SMALL))

    def _combined(self, vectors: Sequence[Words]) -> Words:
        total = np.zeros_like(vectors[0])
        for (coefficient, _), vector in zip(self.parts, vectors, strict=True):
            total = total + vector if coefficient > 0 else total - vector
        return total

    @cached_property
    def content(self) -> dict[str, int]:
        """Net number of each institution's vectors in the combination."""
        net: Counter[str] = Counter()
        for coefficient, packet in self.parts:
            net[packet.sender] += coefficient
        return {name: number for name, number in net.items() if number}

    @cached_property
    def parts_of_sigma(self) -> float:
        """Measured variance of the noise, in parts of the plan's."""
        packet = self.parts[0][1]
        planned = max(packet.plan.phases.of(packet.request.role).noise_variance.values())
        noisy = self.truth.noisy(packet)
        return float(np.mean(self.noise[noisy].astype(np.float64) ** 2)) / planned

    def allowed(self, uniform: float) -> bool:
        """Whether the attacker may hold this."""
        whole = self._whole_sums(signed=self.open)
        if self.open:
            return whole and self._noise_as_owed()
        # A sum of all and a difference among all are equal modulo 2: the last bit says nothing that the sum does not.
        return uniform_p(_without_last_bit(self.residual) if whole else self.residual) > uniform

    def _whole_sums(self, *, signed: bool) -> bool:
        """Whether of each attempt there is nothing, or the sum; if not `signed`, the sum modulo 2."""
        attempts: dict[tuple[bytes, Role, int, int], list[tuple[int, Packet]]] = {}
        for coefficient, packet in self.parts:
            message = packet.message
            place = (message.plan_hash, message.role, message.round, message.attempt)
            attempts.setdefault(place, []).append((coefficient if signed else 1, packet))
        return all(map(self._whole_sum, attempts.values()))

    def _whole_sum(self, parts: list[tuple[int, Packet]]) -> bool:
        """One sum over all honest members of three or more, who were told the same, with the plan's noise or more."""
        packets = [packet for _, packet in parts]
        told = {(packet.request.members, packet.message.model_hash, packet.joins) for packet in packets}
        senders = sorted(packet.sender for packet in packets)
        expected = sorted(name for name in packets[0].request.members if name in self.truth.honest)
        planned = [packet.plan.phases.of(packet.request.role).noise_variance.values() for packet in packets]
        owed = sum(map(self.truth.share, packets))
        return (
            len(told) == 1
            and len(set(packets[0].request.members)) >= FEWEST_MEMBERS
            and len({coefficient for coefficient, _ in parts}) == 1
            and senders == expected
            and owed >= max(max(variances) for variances in planned)
        )

    def _noise_as_owed(self) -> bool:
        owed = sum(self.truth.share(packet) * self.truth.noisy(packet) for _, packet in self.parts)
        noisy = owed > 0
        scores = self.noise[noisy].astype(np.float64) ** 2 / owed[noisy]
        return variance_p(scores) > NOISE_P and not self.noise[~noisy].any()


def findings(
    attacker: Attacker, role: Role = Role.PREFLIGHT, honest: Mapping[str, Custodian] | None = None
) -> list[Finding]:
    """Every combination of the packets of one phase, up to its sign."""
    truth = Truth(honest or attacker.honest)
    packets = [packet for packet in attacker.view.packets if packet.request.role is role]
    stripped = [strip(attacker.view, packet) for packet in packets]
    exact = [truth.exact(packet) for packet in packets]
    found = []
    for chosen in _coefficients(len(packets)):
        places = [place for place, one in enumerate(chosen) if one]
        parts = tuple((chosen[place], packets[place]) for place in places)
        found.append(
            Finding(parts, tuple(stripped[place] for place in places), tuple(exact[place] for place in places), truth)
        )
    return found


def _without_last_bit(words: Words) -> Words:
    """The words with the toss of a coin for their last bits."""
    coins = np.frombuffer(os.urandom(words.size), dtype=np.uint8) & 1
    return (words & ~np.uint64(1)) | coins


def _coefficients(number: int) -> Iterator[tuple[int, ...]]:
    for chosen in product((0, 1, -1), repeat=number):
        if next((one for one in chosen if one), 0) == 1:
            yield chosen


def leaks(found: list[Finding]) -> list[Finding]:
    """Combinations that the attacker may not hold; one false alarm in a million runs."""
    return [finding for finding in found if not finding.allowed(UNIFORM_P / len(found))]


def sums(found: list[Finding]) -> list[Finding]:
    """Combinations without a mask."""
    return [finding for finding in found if finding.open]


def safe(attacker: Attacker, role: Role = Role.PREFLIGHT, **options) -> list[Finding]:
    """Check that nothing leaks; the sums that the attacker may hold."""
    found = findings(attacker, role, **options)
    assert found
    assert not leaks(found)
    return sums(found)


def exposed(attacker: Attacker, victim: str, role: Role = Role.PREFLIGHT, **options) -> float:
    """Check that the decoder holds a victim's own vector by a leak; the least noise on it, in parts of the plan's."""
    found = leaks(findings(attacker, role, **options))
    alone = [finding for finding in found if finding.open and finding.content in ({victim: 1}, {victim: -1})]
    assert alone, [finding.content for finding in found]
    return min(finding.parts_of_sigma for finding in alone)


def at_least(finding: Finding, parts: float) -> bool:
    """Whether the measured noise agrees with a variance of so many parts of the plan's, or more."""
    packet = finding.parts[0][1]
    noise = finding.noise[finding.truth.noisy(packet)].astype(np.float64)
    planned = max(packet.plan.phases.of(packet.request.role).noise_variance.values())
    return float(stats.chi2.cdf((noise**2).sum() / (parts * planned), noise.size)) > NOISE_P
