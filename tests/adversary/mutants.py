"""Defences switched off, one by one: what the attacks would have bought without them."""

from dataclasses import replace

import pytest

from fedcredit.custodian import agreements, guard, guard_members, open_jobs
from fedcredit.custodian import custodian as custodian_module
from fedcredit.errors import RefusalError
from fedcredit.privacy.ledger import Ledger
from fedcredit.secure_aggregation import agreement, masks, transcript
from fedcredit.secure_aggregation.transcript import PeerKey
from fedcredit.wire.heads import Head
from fedcredit.wire.messages import Role, decode_message

NEUTRAL = {
    "job": "",
    "plan_hash": b"",
    "role": Role.TRAIN,
    "round": 0,
    "attempt": 0,
    "roster_hash": b"",
    "model_hash": b"",
}


def nothing(*_args, **_options) -> None:
    """A check that lets everything pass."""


def unbound(patch: pytest.MonkeyPatch, *fields: str) -> None:
    """Pair keys that do not depend on some fields of the place, or on who the pair is (``pair``)."""
    bound = masks.pair_info
    neutral = {name: NEUTRAL[name] for name in fields if name != "pair"}

    def info(place, lower, higher):
        if "pair" in fields:
            lower = higher = PeerKey("", b"", 0, Head("", 0, b"", b""))
        return bound(replace(place, **neutral), lower, higher)

    patch.setattr(masks, "pair_info", info)


def unsalted(patch: pytest.MonkeyPatch) -> None:
    """Pair keys that do not depend on the transcript."""
    salted = masks.pair_key
    patch.setattr(masks, "pair_key", lambda secret, _, *rest: salted(secret, b"", *rest))


def unsigned_joins(patch: pytest.MonkeyPatch) -> None:
    """Joins are read without a look at their signatures."""
    patch.setattr(transcript, "_verified", lambda envelope, _: decode_message(envelope.kind, envelope.payload))
    patch.setattr(transcript.Head, "holds", lambda *_: True)


def shared_keys(patch: pytest.MonkeyPatch) -> None:
    """Two members may have one agreement key."""
    patch.setattr(transcript, "_check_distinct", nothing)


def zero_secrets(patch: pytest.MonkeyPatch) -> None:
    """Keys of small order are used like any other."""
    exchange = agreement._exchange

    def lenient(private_key, peer_public):
        try:
            return exchange(private_key, peer_public)
        except RefusalError:
            return bytes(32)

    patch.setattr(agreement, "_exchange", lenient)


def forgotten_keys(patch: pytest.MonkeyPatch) -> None:
    """Peers' earlier keys are not looked at."""
    patch.setattr(agreements, "guard_peer_keys", nothing)


def kept_keys(patch: pytest.MonkeyPatch, members: int, again: tuple[int, ...]) -> None:
    """Agreement keys serve again: after `members` draws, those of the places `again` in turn."""
    drawn: list[agreement.AgreementKey] = []

    def draw() -> agreement.AgreementKey:
        fresh = len(drawn) < members
        drawn.append(agreement.AgreementKey() if fresh else drawn[again[len(drawn) - members]])
        return drawn[-1]

    patch.setattr(agreements, "AgreementKey", draw)


def any_job(patch: pytest.MonkeyPatch) -> None:
    """A join counts whatever job it was signed for."""
    checked = transcript._checked

    def lenient(job, envelope, identity):
        join = decode_message(envelope.kind, envelope.payload)
        return checked((join.plan_hash, join.roster_version, join.roster_hash), envelope, identity)

    patch.setattr(transcript, "_checked", lenient)


def unwitnessed(patch: pytest.MonkeyPatch) -> None:
    """Peers are not asked what they know of the ledger, nor which joins they accepted."""
    patch.setattr(agreements, "guard_witnesses", nothing)


def no_history(patch: pytest.MonkeyPatch) -> None:
    """A request is not compared with those that were answered before."""
    patch.setattr(open_jobs, "guard_history", nothing)


def no_round_guard(patch: pytest.MonkeyPatch) -> None:
    """Round, attempt and members are not checked."""
    patch.setattr(open_jobs, "guard_round", nothing)


def any_company(patch: pytest.MonkeyPatch) -> None:
    """Any number of members will do."""
    patch.setattr(guard, "guard_members", nothing)
    patch.setattr(guard_members, "guard_members", nothing)


def any_mask_company(patch: pytest.MonkeyPatch) -> None:
    """Masks are made with everybody that is listed and known; the rest of the list only counts."""

    def others(pairs, members):
        known = {peer.institution: peer for peer in pairs.transcript.peers}
        return [known[name] for name in dict.fromkeys(members) if name in known and name != pairs._own.institution]

    patch.setattr(masks.PairSecrets, "_others", others)


def many_uses(patch: pytest.MonkeyPatch) -> None:
    """A ledger that writes nothing down: each request is answered anew, the same attempt included."""
    patch.setattr(Ledger, "stored", nothing)
    patch.setattr(Ledger, "commit", lambda ledger, _, seal: seal(ledger.event_count, bytes(32)))


def one_noise(patch: pytest.MonkeyPatch) -> None:
    """The same noise for every message."""
    patch.setattr(custodian_module, "vector_context", lambda *_: b"always the same")


def no_masks(patch: pytest.MonkeyPatch) -> None:
    """Vectors leave without a mask."""
    patch.setattr(agreements.Agreements, "pairs", nothing)


def shares_of(patch: pytest.MonkeyPatch, members) -> None:
    """Noise shares of another number of members: ``members(plan, asked)`` in place of asked - t."""

    def share(plan, kind, role, asked):
        return -(-plan.phases.of(role).noise_variance[kind] // members(plan, asked))

    patch.setattr(custodian_module, "own_noise_variance", share)
