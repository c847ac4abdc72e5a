"""Peers' keys over time: each once, in one job, under one name, in rising epochs."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcredit.custodian.peer_keys import MOST_TRANSCRIPTS, guard_peer_keys, keys_event
from fedcredit.errors import RefusalError
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript
from fedcredit.wire.heads import Head

THIS, OTHER = bytes([1]) * 32, bytes([2]) * 32
KEYS = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(4)]


def transcript(*peers: tuple[str, bytes, int]) -> Transcript:
    return Transcript(bytes(32), tuple(PeerKey(*peer, Head(peer[0], 1, bytes(32), bytes(64))) for peer in peers))


FIRST = transcript(("a", KEYS[0], 1), ("b", KEYS[1], 1), ("c", KEYS[2], 1))


def accepted(*events: tuple[bytes, Transcript]):
    return [{"plan_hash": plan.hex(), **keys_event(one)} for plan, one in events]


def code_of(offered: Transcript, *events: tuple[bytes, Transcript]) -> str | None:
    try:
        guard_peer_keys(THIS, offered, accepted(*events))
    except RefusalError as error:
        return error.code
    return None


def alias(public: bytes) -> bytes:
    """Other bytes for the same key: X25519 ignores the top bit."""
    return public[:-1] + bytes([public[-1] ^ 0x80])


def test_the_same_keys_again_a_part_of_them_and_new_ones_after_a_restart_are_fine():
    assert code_of(FIRST) is None
    assert code_of(FIRST, (THIS, FIRST)) is None
    restarted = transcript(("a", KEYS[0], 1), ("b", KEYS[3], 2), ("c", KEYS[2], 1))
    assert code_of(restarted, (THIS, FIRST)) is None
    assert code_of(transcript(("a", KEYS[0], 1), ("b", KEYS[1], 1)), (THIS, FIRST)) is None


@pytest.mark.parametrize(
    ("peer", "code"),
    [
        (("b", KEYS[3], 1), "keys-epoch"),  # two keys in one epoch
        (("b", KEYS[1], 2), "keys-epoch"),  # one key in two epochs
        (("b", alias(KEYS[1]), 2), "keys-epoch"),
        (("d", KEYS[1], 1), "keys-reused"),
        (("d", alias(KEYS[1]), 1), "keys-reused"),
    ],
)
def test_a_key_belongs_to_one_member_and_one_epoch(peer, code):
    assert code_of(transcript(("a", KEYS[0], 1), peer), (THIS, FIRST)) == code


def test_no_epoch_goes_down():
    later = transcript(("a", KEYS[0], 1), ("b", KEYS[3], 2), ("c", KEYS[2], 1))
    assert code_of(FIRST, (THIS, FIRST), (THIS, later)) == "keys-epoch"


@pytest.mark.parametrize("key", [KEYS[1], alias(KEYS[1])], ids=["the same bytes", "another encoding"])
def test_a_members_key_of_another_job_is_refused_in_any_encoding(key):
    assert code_of(transcript(("b", key, 1)), (OTHER, FIRST)) == "keys-reused"


def test_a_colluder_cannot_spoil_an_honest_peers_key_for_another_job():
    published = transcript(("a", KEYS[0], 1), ("b", KEYS[3], 1), ("c", KEYS[2], 1))  # b publishes what is d's
    assert code_of(transcript(("d", KEYS[3], 1)), (OTHER, published)) is None


def test_a_job_has_so_many_transcripts_and_no_more():
    assert code_of(FIRST, *[(THIS, FIRST)] * (MOST_TRANSCRIPTS - 1)) is None
    assert code_of(FIRST, *[(THIS, FIRST)] * MOST_TRANSCRIPTS) == "keys-many"
    assert code_of(transcript(("a", KEYS[3], 1)), *[(OTHER, FIRST)] * MOST_TRANSCRIPTS) is None
