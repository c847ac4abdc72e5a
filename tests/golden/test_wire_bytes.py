"""Byte goldens of wire version 1: a change here breaks every deployed custodian.

Each fixture is the message's payload, field by field.
"""

import pytest

from fedcredit.wire.canonical import digest, length_prefixed
from fedcredit.wire.envelope import signed_bytes
from fedcredit.wire.messages import (
    Contribution,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
    StopReply,
    StopRequest,
    encode_message,
)

A, B, C, D = (bytes([value]) * 32 for value in (0xAA, 0xBB, 0xCC, 0xDD))
SIGNATURE = b"\xee" * 64

GOLDENS = {
    "identify request": (IdentifyRequest(A), ["0a20" + "aa" * 32]),  # 1: nonce, 32 bytes
    "join request": (JoinRequest(b"{}"), ["0a02" + "7b7d"]),  # 1: plan, canonical JSON
    "join reply": (
        JoinReply(A, 7, 2, B, C, 1, D, A, SIGNATURE),
        [
            "0a20" + "aa" * 32,  # 1: plan hash
            "11" + "0700000000000000",  # 2: event count, fixed 64 bit
            "1d" + "02000000",  # 3: roster version, fixed 32 bit
            "2220" + "bb" * 32,  # 4: roster hash
            "2a20" + "cc" * 32,  # 5: agreement key
            "35" + "01000000",  # 6: key epoch, fixed 32 bit
            "3a20" + "dd" * 32,  # 7: nonce
            "4220" + "aa" * 32,  # 8: event hash
            "4a40" + "ee" * 64,  # 9: signature of the ledger head
        ],
    ),
    "keys request": (
        KeysRequest(A, (b"\x01", b"\x02\x03")),
        ["0a20" + "aa" * 32, "1201" + "01", "1202" + "0203"],  # 1: plan hash; 2: joins
    ),
    "keys reply": (
        KeysReply(A, B, (b"\x01", b"\x02\x03")),
        ["0a20" + "aa" * 32, "1220" + "bb" * 32, "1a01" + "01", "1a02" + "0203"],  # 2: transcript hash; 3: heads
    ),
    "stop request": (StopRequest(A), ["0a20" + "aa" * 32]),  # 1: roster hash
    "stop reply": (StopReply(A, 3), ["0a20" + "aa" * 32, "11" + "0300000000000000"]),  # 2: event count
    "round request": (
        RoundRequest(A, Role.TRAIN, 3, 1, ("bank-1", "bank-2"), b"\x01\x02", B, (b"\x03",), (b"\x04",)),
        [
            "0a20" + "aa" * 32,  # 1: plan hash
            "1002",  # 2: role TRAIN
            "1d" + "03000000",  # 3: round, fixed 32 bit
            "25" + "01000000",  # 4: attempt, fixed 32 bit
            "2a06" + b"bank-1".hex(),  # 5: first member
            "2a06" + b"bank-2".hex(),  # 5: second member
            "3202" + "0102",  # 6: model
            "3a20" + "bb" * 32,  # 7: transcript hash
            "4201" + "03",  # 8: a witness
            "4a01" + "04",  # 9: a ledger head
        ],
    ),
    "contribution": (
        Contribution(A, Role.EVALUATE, 1, 2, B, C, (-1).to_bytes(8, "little", signed=True), 9, D, SIGNATURE),
        [
            "0a20" + "aa" * 32,  # 1: plan hash
            "1003",  # 2: role EVALUATE
            "1d" + "01000000",  # 3: round
            "25" + "02000000",  # 4: attempt
            "2a20" + "bb" * 32,  # 5: roster hash of the attempt
            "3220" + "cc" * 32,  # 6: model hash
            "3a08" + "ff" * 8,  # 7: vector, one little-endian int64 of value -1
            "41" + "0900000000000000",  # 8: event count
            "4a20" + "dd" * 32,  # 9: event hash
            "5240" + "ee" * 64,  # 10: signature of the ledger head
        ],
    ),
    "release request": (
        ReleaseRequest(A, b"{}"),
        ["0a20" + "aa" * 32, "1202" + "7b7d"],
    ),  # 1: plan hash; 2: model
    "receipt": (
        Receipt(A, B, b"{}", 5),
        ["0a20" + "aa" * 32, "1220" + "bb" * 32, "1a02" + "7b7d", "21" + "0500000000000000"],
    ),
    "refusal": (
        Refusal(A, "budget", "no"),
        ["0a20" + "aa" * 32, "1206" + b"budget".hex(), "1a02" + b"no".hex()],  # 1: request; 2: code; 3: text
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_payload_bytes(name):
    message, fields = GOLDENS[name]
    assert encode_message(message).hex() == "".join(fields)


def test_bytes_under_a_signature():
    expected = [
        "1500000000000000" + b"fedcredit.v1.envelope".hex(),  # domain tag, 21 bytes
        "0100000000000000" + b"1".hex(),  # version
        "0100000000000000" + b"3".hex(),  # kind: join request
        "0600000000000000" + b"bank-1".hex(),  # sender
        "0200000000000000" + "7b7d",  # payload
    ]
    assert signed_bytes(3, "bank-1", b"{}").hex() == "".join(expected)


def test_length_prefixes_keep_fields_apart():
    assert length_prefixed("t", b"ab", b"c") != length_prefixed("t", b"a", b"bc")
    assert digest("t", b"x") != digest("u", b"x")
