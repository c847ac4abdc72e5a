"""Vectors of the key schedule and the masks: a change here stops every mask of a mixed consortium from cancelling.

`secure_aggregation.json` holds inputs and outputs. The outputs are computed here a second time from the inputs with
HMAC, SHA-256, X25519 and ChaCha20 alone, so that another implementation can be written against the file.
"""

import hashlib
import hmac
import json
import struct
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets, pair_info, pair_key
from fedcredit.secure_aggregation.transcript import PeerKey, Transcript
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.heads import Head, sign_head
from fedcredit.wire.messages import JoinReply, Role

VECTORS = json.loads(Path(__file__).with_name("secure_aggregation.json").read_text())
MEMBERS, PLACE, PAIRS = VECTORS["members"], VECTORS["place"], VECTORS["pairs"]
BY_ID = {member["id"]: member for member in MEMBERS}
NAMES = tuple(BY_ID)
NO_HEAD = Head("", 0, bytes(32), bytes(64))


def prefixed(tag, *fields):
    return b"".join(struct.pack("<Q", len(part)) + part for part in (b"fedcredit.v1." + tag.encode(), *fields))


def sha256(tag, *fields):
    return hashlib.sha256(prefixed(tag, *fields)).hexdigest()


def unhex(value):
    return bytes.fromhex(value)


def private_key(member):
    return X25519PrivateKey.from_private_bytes(unhex(member["agreement_private_key"]))


def stream_words(key, n):
    stream = Cipher(ChaCha20(unhex(key), bytes(16)), mode=None).encryptor().update(bytes(8 * n))
    return list(struct.unpack(f"<{n}Q", stream))


def word_hex(words):
    """Words modulo 2^64 in their wire order: eight little-endian bytes each."""
    return b"".join((word % 2**64).to_bytes(8, "little") for word in words).hex()


# The second computation of what the file holds.


def expected_pair(lower, higher):
    """One pair's values, from the members' private keys on."""
    secret = private_key(lower).exchange(X25519PublicKey.from_public_bytes(unhex(higher["agreement_key"])))
    info = prefixed(
        "pair-mask",
        *(member["id"].encode() for member in (lower, higher)),
        *(unhex(member["agreement_key"]) for member in (lower, higher)),
        *(str(member["key_epoch"]).encode() for member in (lower, higher)),
        *(str(PLACE[field]).encode() for field in ("job", "role", "round", "attempt")),
        *(unhex(PLACE[field]) for field in ("roster_hash", "plan_hash", "model_hash")),
    )
    extracted = hmac.digest(unhex(VECTORS["transcript_hash"]), secret, "sha256")
    key = hmac.digest(extracted, info + b"\x01", "sha256").hex()
    return {
        "lower": lower["id"],
        "higher": higher["id"],
        "secret": secret.hex(),
        "info": info.hex(),
        "key": key,
        "mask_words": word_hex(stream_words(key, 4)),
    }


def expected_masked(member):
    """A member's vector plus the streams of the pairs in which it is lower, minus those in which it is higher."""
    words = member["vector"]
    for pair in PAIRS:
        sign = (member["id"] == pair["lower"]) - (member["id"] == pair["higher"])
        words = [word + sign * mask for word, mask in zip(words, stream_words(pair["key"], 4), strict=True)]
    return word_hex(words)


def test_the_members_keys_and_joins():
    for member in MEMBERS:
        assert private_key(member).public_key().public_bytes_raw().hex() == member["agreement_key"]
        identity = Ed25519PrivateKey.from_private_bytes(unhex(member["identity_private_key"]))
        assert identity.public_key().public_bytes_raw().hex() == member["identity_key"]
        # Wire form of the envelope: the payload's fields are those of test_wire_bytes.py.
        envelope = open_envelope(unhex(member["join"]))
        signed = prefixed("envelope", b"1", b"4", member["id"].encode(), envelope.payload)
        identity.public_key().verify(envelope.signature, signed)
        head = prefixed("head", member["id"].encode(), b"0", bytes(32))
        identity.public_key().verify(envelope.payload[-64:], head)


def test_the_transcript():
    fields = [unhex(PLACE["plan_hash"]), *(unhex(member["join"]) for member in MEMBERS)]
    assert prefixed("join-transcript", *fields).hex() == VECTORS["transcript_input"]
    assert sha256("join-transcript", *fields) == VECTORS["transcript_hash"]
    names = [name.encode() for name in NAMES]
    assert sha256("attempt-roster", unhex(VECTORS["roster_hash"]), *names) == PLACE["roster_hash"]


def test_the_pairs():
    pairs = [expected_pair(BY_ID[lower], BY_ID[higher]) for lower, higher in combinations(sorted(NAMES), 2)]
    assert pairs == PAIRS


def test_the_masked_vectors_and_their_sum():
    assert [expected_masked(member) for member in MEMBERS] == [member["masked"] for member in MEMBERS]
    sums = [sum(words) for words in zip(*(member["vector"] for member in MEMBERS), strict=True)]
    assert sums == VECTORS["sum"]
    sent = [struct.unpack("<4Q", unhex(member["masked"])) for member in MEMBERS]
    assert word_hex(sum(words) for words in zip(*sent, strict=True)) == word_hex(sums)


# The library against the file.


def peers():
    return tuple(
        PeerKey(member["id"], unhex(member["agreement_key"]), member["key_epoch"], NO_HEAD) for member in MEMBERS
    )


def agreement_key(member):
    """A known key, which the library has no way to make."""
    key = AgreementKey()
    key._key[:] = unhex(member["agreement_private_key"])
    return key


def place():
    hashes = {name: unhex(PLACE[name]) for name in ("plan_hash", "roster_hash", "model_hash")}
    return MaskPlace(
        PLACE["job"], role=Role[PLACE["role"].upper()], round=PLACE["round"], attempt=PLACE["attempt"], **hashes
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_library_signs_the_joins(name):
    member = BY_ID[name]
    identity = SigningKey(Ed25519PrivateKey.from_private_bytes(unhex(member["identity_private_key"])))
    reply = JoinReply(
        plan_hash=unhex(PLACE["plan_hash"]),
        event_count=0,
        roster_version=1,
        roster_hash=unhex(VECTORS["roster_hash"]),
        agreement_key=agreement_key(member).public,
        key_epoch=member["key_epoch"],
        nonce=unhex(member["nonce"]),
        event_hash=bytes(32),
        head_signature=sign_head(identity, name, 0, bytes(32)),
    )
    assert identity.seal(name, reply).hex() == member["join"]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['lower']} with {pair['higher']}")
def test_the_library_derives_the_pair_keys(pair):
    transcript = Transcript(unhex(VECTORS["transcript_hash"]), peers())
    lower, higher = transcript.peer(pair["lower"]), transcript.peer(pair["higher"])
    assert agreement_key(BY_ID[pair["higher"]]).secret_with(lower.agreement_key).hex() == pair["secret"]
    assert pair_info(place(), lower, higher).hex() == pair["info"]
    assert pair_key(unhex(pair["secret"]), transcript.digest, place(), lower, higher).hex() == pair["key"]


@pytest.mark.parametrize("name", NAMES)
def test_the_library_masks_the_vectors(name):
    joins = [unhex(member["join"]) for member in MEMBERS]
    transcript = Transcript(digest("join-transcript", unhex(PLACE["plan_hash"]), *joins), peers())
    mask = PairSecrets(agreement_key(BY_ID[name]), name, transcript).mask(place(), NAMES, 4)
    assert mask.apply(np.array(BY_ID[name]["vector"])).astype("<i8").tobytes().hex() == BY_ID[name]["masked"]
