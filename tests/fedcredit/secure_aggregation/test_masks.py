"""Masks: they cancel exactly for the members of one message, for nobody else, and only once."""

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedcredit.errors import PrivacyError, RefusalError
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets, pair_key
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript
from fedcredit.wire.messages import Role
from tests.fedcredit.secure_aggregation import plain_masks
from tests.fedcredit.secure_aggregation.joined import NAMES, PLACE, aliases, joined

JOINED = joined()
SECRETS = {name: JOINED.secrets(name) for name in NAMES}
THREE = ("bank-1", "bank-2", "hospital-1")
OTHER_PLACE = {
    "job": "example-2",
    "plan_hash": b"q" * 32,
    "role": Role.EVALUATE,
    "round": 4,
    "attempt": 2,
    "roster_hash": b"s" * 32,
    "model_hash": b"n" * 32,
}
OTHER_PEER = {"institution": "bank-11", "agreement_key": AgreementKey().public, "key_epoch": 2}
SMALL_INTEGERS = np.random.default_rng(1).integers(-5000, 5000, 100_000)


def masked(name, vector, place=PLACE, members=THREE, secrets=SECRETS):
    return secrets[name].mask(place, members, len(vector)).apply(vector)


def mask_words(name, length=50, **settings):
    return masked(name, np.zeros(length, np.int64), **settings)


def total(vectors):
    """Sum modulo 2^64."""
    return np.sum(np.stack(vectors).view(np.uint64), axis=0, dtype=np.uint64).view(np.int64)


def pair(name, other):
    """Two members' keys in their order."""
    transcript = SECRETS[name].transcript
    return [transcript.peer(institution) for institution in sorted((name, other))]


def uniform_bytes(vector):
    """p-value of "every byte is equally likely"."""
    return stats.chisquare(np.bincount(vector.view(np.uint8), minlength=256)).pvalue


WORDS = st.integers(-(2**63), 2**63 - 1)


@given(
    st.sets(st.sampled_from(NAMES), min_size=3).flatmap(lambda members: st.permutations(sorted(members))),
    st.integers(1, 70).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=6, max_size=6)),
)
def test_the_masks_of_an_attempt_cancel_exactly(members, values):
    """For any members, in any order, any length, and sums that wrap."""
    vectors = [np.array(words, np.int64) for words in values[: len(members)]]
    sent = [masked(name, vector, members=tuple(members)) for name, vector in zip(members, vectors, strict=True)]
    assert total(sent).tolist() == total(vectors).tolist()
    assert all((a != b).all() for a, b in zip(sent, vectors, strict=True))


@pytest.mark.parametrize("missing", NAMES)
def test_without_one_member_nothing_cancels(missing):
    assert (total([mask_words(name, members=NAMES) for name in NAMES]) == 0).all()
    assert (total([mask_words(name, members=NAMES) for name in NAMES if name != missing]) != 0).all()


def test_every_field_of_a_place_has_another_value():
    assert [field.name for field in fields(MaskPlace)] == list(OTHER_PLACE)
    assert [field.name for field in fields(PeerKey)] == [*OTHER_PEER, "head"]  # a peer's ledger makes no mask
    assert all(getattr(PLACE, name) != value for name, value in OTHER_PLACE.items())


@pytest.mark.parametrize("field", OTHER_PLACE)
def test_members_at_different_places_do_not_cancel(field):
    place = replace(PLACE, **{field: OTHER_PLACE[field]})
    sent = [mask_words("bank-1", place=place), mask_words("bank-2"), mask_words("hospital-1")]
    assert (total(sent) != 0).all()
    assert (total([mask_words(name, place=place) for name in THREE]) == 0).all()
    # The attack on two attempts: the difference of one member's two messages is still masked.
    assert (sent[0] != mask_words("bank-1")).all()


def test_members_with_different_transcripts_do_not_cancel():
    shown = replace(JOINED.transcript("bank-1"), digest=b"t" * 32)
    split = SECRETS | {"bank-1": PairSecrets(JOINED.keys["bank-1"], "bank-1", shown)}
    assert (total([mask_words(name, secrets=split) for name in THREE]) != 0).all()


@pytest.mark.parametrize("field", ["agreement_key", "key_epoch"])
def test_members_that_were_shown_another_key_of_a_peer_do_not_cancel(field):
    """Even with one transcript hash."""
    true = JOINED.transcript("bank-1")
    peers = [
        replace(peer, **{field: OTHER_PEER[field]}) if peer.institution == "hospital-1" else peer for peer in true.peers
    ]
    split = SECRETS | {"bank-1": PairSecrets(JOINED.keys["bank-1"], "bank-1", Transcript(true.digest, tuple(peers)))}
    assert (total([mask_words(name, secrets=split) for name in THREE]) != 0).all()


@pytest.mark.parametrize("field", OTHER_PLACE)
def test_a_pair_key_is_bound_to_every_field_of_its_place(field):
    lower, higher = pair("bank-1", "bank-2")
    changed = replace(PLACE, **{field: OTHER_PLACE[field]})
    assert pair_key(b"s" * 32, b"t" * 32, changed, lower, higher) != pair_key(
        b"s" * 32, b"t" * 32, PLACE, lower, higher
    )


@pytest.mark.parametrize("field", OTHER_PEER)
def test_a_pair_key_is_bound_to_both_members(field):
    lower, higher = pair("bank-1", "bank-2")
    keys = {
        pair_key(b"s" * 32, b"t" * 32, PLACE, lower, higher),
        pair_key(b"u" * 32, b"t" * 32, PLACE, lower, higher),
        pair_key(b"s" * 32, b"u" * 32, PLACE, lower, higher),
        pair_key(b"s" * 32, b"t" * 32, PLACE, replace(lower, **{field: OTHER_PEER[field]}), higher),
        pair_key(b"s" * 32, b"t" * 32, PLACE, lower, replace(higher, **{field: OTHER_PEER[field]})),
    }
    assert len(keys) == 5


def test_a_pair_stands_in_one_order_only():
    lower, higher = pair("bank-10", "bank-2")
    assert lower.institution == "bank-10"  # plain string order, not numbers
    for wrong in ((higher, lower), (lower, lower)):
        with pytest.raises(PrivacyError, match="must sort before"):
            pair_key(b"s" * 32, b"t" * 32, PLACE, *wrong)


def test_a_copied_key_gives_other_pair_keys():
    """A colluder publishes its victim's peer's key as its own: the raw secrets are equal, the pair keys are not."""
    victim, peer = JOINED.keys["bank-1"], JOINED.keys["hospital-1"].public
    own, honest = pair("bank-1", "hospital-1")
    for copied in (peer, *aliases(peer)):
        assert victim.secret_with(copied) == victim.secret_with(peer)
    secret = victim.secret_with(peer)
    copier = PeerKey("bank-2", peer, honest.key_epoch, honest.head)
    assert pair_key(secret, b"t" * 32, PLACE, own, copier) != pair_key(secret, b"t" * 32, PLACE, own, honest)
    # The identities alone make the difference.
    renamed = replace(copier, institution="hospital-1")
    assert pair_key(secret, b"t" * 32, PLACE, own, renamed) == pair_key(secret, b"t" * 32, PLACE, own, honest)


@pytest.mark.parametrize("name", ["bank-1", "bank-2", "hospital-2"])
def test_the_bulk_path_equals_the_slow_twin(name):
    members = ("hospital-2", "bank-1", "bank-2", "bank-10")
    vector = np.array([0, 1, -1, 2**63 - 1, -(2**63), *range(13)], np.int64)
    own, digest = JOINED.keys[name], SECRETS[name].transcript.digest
    signed_keys = []
    for other in members:
        if other != name:
            lower, higher = sorted((name, other))
            info = plain_masks.prefixed(
                "pair-mask", lower.encode(), higher.encode(), JOINED.keys[lower].public, JOINED.keys[higher].public,
                b"1", b"1", b"example", b"train", b"3", b"1", PLACE.roster_hash, PLACE.plan_hash, PLACE.model_hash,
            )  # fmt: skip
            key = plain_masks.hkdf_sha256(own.secret_with(JOINED.keys[other].public), digest, info)
            signed_keys.append((1 if name < other else -1, key))
    slow = [plain_masks.masked_word(int(word), index, signed_keys) for index, word in enumerate(vector)]
    assert masked(name, vector, members=members).tolist() == slow


def test_the_slow_twin_is_that_of_the_standards():
    zero_key = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert plain_masks.chacha20_block(bytes(32), 0)[:32].hex() == zero_key  # RFC 8439, A.1, vector 1
    nonce = bytes.fromhex("000000090000004a00000000")
    block = plain_masks.chacha20_block(bytes(range(32)), 1, nonce)  # RFC 8439, 2.3.2
    assert block[:16].hex() == "10f1e7e4d13b5915500fdd1fa32071c4"
    derived = plain_masks.hkdf_sha256(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))  # RFC 5869, A.1
    assert derived.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_a_masked_vector_looks_uniform():
    assert uniform_bytes(masked("bank-1", SMALL_INTEGERS)) > 1e-6
    assert uniform_bytes(masked("hospital-1", SMALL_INTEGERS) - masked("bank-2", SMALL_INTEGERS)) > 1e-6


def test_the_check_of_uniformity_sees_a_vector_without_its_mask():
    assert uniform_bytes(SMALL_INTEGERS) < 1e-6
    assert uniform_bytes(total([masked(name, SMALL_INTEGERS) for name in THREE])) < 1e-6


def test_a_mask_is_applied_once_and_its_keys_are_wiped():
    mask = SECRETS["bank-1"].mask(PLACE, THREE, 4)
    memory = [key for _, key in mask._signed_keys]
    mask.apply(np.zeros(4, np.int64))
    assert memory == [bytes(32), bytes(32)]
    with pytest.raises(PrivacyError, match="applied before"):
        mask.apply(np.zeros(4, np.int64))


@pytest.mark.parametrize(
    "vector",
    [np.zeros(3, np.int64), np.zeros(5, np.int64), np.zeros((4, 1), np.int64), np.zeros(4), np.zeros(4, ">i8")],
)
def test_a_vector_that_does_not_fit_is_refused_and_the_mask_is_kept(vector):
    mask = SECRETS["bank-1"].mask(PLACE, THREE, 4)
    with pytest.raises(PrivacyError, match="does not fit"):
        mask.apply(vector)
    assert (mask.apply(np.zeros(4, np.int64)) != 0).all()


def test_the_vector_itself_is_left_as_it_was():
    vector = np.arange(8)
    vector.setflags(write=False)
    assert (masked("bank-1", vector) != vector).all()
    assert vector.tolist() == list(range(8))
    assert masked("bank-1", np.arange(16)[::2]).tolist() == masked("bank-1", np.arange(0, 16, 2)).tolist()


@pytest.mark.parametrize(
    "members",
    [
        ("bank-1", "bank-2"),
        ("bank-1",),
        (),
        ("bank-2", "bank-3", "hospital-1"),
        ("bank-1", "bank-2", "bank-4"),
        ("bank-1", "bank-2", "bank-2"),
        ("bank-1", "bank-1", "bank-2", "hospital-1"),
    ],
)
def test_members_that_cannot_be_masked_are_refused(members):
    with pytest.raises(RefusalError) as caught:
        SECRETS["bank-1"].mask(PLACE, members, 4)
    assert caught.value.code == "keys-member"


@pytest.mark.parametrize("length", [0, -1, 2**35 + 1])
def test_a_length_that_cannot_be_masked_is_refused(length):
    with pytest.raises(PrivacyError, match="length"):
        SECRETS["bank-1"].mask(PLACE, THREE, length)


def test_a_transcript_must_hold_our_own_key():
    transcript = JOINED.transcript("bank-1")
    for name, key in (("bank-1", AgreementKey()), ("bank-2", JOINED.keys["bank-1"]), ("bank-4", JOINED.keys["bank-1"])):
        with pytest.raises(RefusalError) as caught:
            PairSecrets(key, name, transcript)
        assert caught.value.code == "keys-own"


def test_a_peer_of_small_order_is_refused():
    true = JOINED.transcript("bank-1")
    peers = (true.peer("bank-1"), PeerKey("bank-2", bytes(32), 1, true.peer("bank-2").head), true.peer("hospital-1"))
    with pytest.raises(RefusalError) as caught:
        PairSecrets(JOINED.keys["bank-1"], "bank-1", Transcript(true.digest, peers))
    assert caught.value.code == "keys-zero"


def test_secrets_outlive_the_agreement_key_and_are_wiped_themselves():
    members = joined(THREE)
    secrets = members.secrets("bank-1")
    members.keys["bank-1"].wipe()
    assert (secrets.mask(PLACE, THREE, 4).apply(np.zeros(4, np.int64)) != 0).all()
    memory = list(secrets._secrets.values())
    assert all(any(secret) for secret in memory)
    secrets.wipe()
    secrets.wipe()
    assert memory == [bytes(32), bytes(32)]
    with pytest.raises(PrivacyError, match="wiped"):
        secrets.mask(PLACE, THREE, 4)


@pytest.mark.parametrize("name", ["PairSecrets", "Mask"])
def test_secrets_are_never_printed_copied_or_pickled(name):
    held = SECRETS["bank-1"] if name == "PairSecrets" else SECRETS["bank-1"].mask(PLACE, THREE, 4)
    assert repr(held) == str(held) == f"{name}(hidden)"
    assert not hasattr(held, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(PrivacyError, match="cannot be copied or pickled"):
            leak(held)
