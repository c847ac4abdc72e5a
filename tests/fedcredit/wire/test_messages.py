import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import WireError
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
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
    decode_message,
    encode_message,
)

HASH = st.binary(min_size=32, max_size=32)
COUNT = st.integers(0, 2**64 - 1)
SMALL = st.integers(0, 2**32 - 1)
ROLE = st.sampled_from(list(Role))
SIGNATURE = st.binary(min_size=64, max_size=64)
PACKETS = st.lists(st.binary(max_size=50), max_size=4).map(tuple)
NAMES = st.lists(st.text(), max_size=4).map(tuple)
MESSAGES = st.one_of(
    st.builds(IdentifyRequest, HASH),
    st.builds(IdentifyReply, HASH),
    st.builds(JoinRequest, st.binary()),
    st.builds(JoinReply, HASH, COUNT, SMALL, HASH, HASH, SMALL, HASH, HASH, SIGNATURE),
    st.builds(KeysRequest, HASH, PACKETS),
    st.builds(KeysReply, HASH, HASH, PACKETS),
    st.builds(StopRequest, HASH),
    st.builds(StopReply, HASH, COUNT),
    st.builds(RoundRequest, HASH, ROLE, SMALL, SMALL, NAMES, st.binary(), HASH, PACKETS, PACKETS),
    st.builds(Contribution, HASH, ROLE, SMALL, SMALL, HASH, HASH, st.binary(), COUNT, HASH, SIGNATURE),
    st.builds(ReleaseRequest, HASH, st.binary()),
    st.builds(Receipt, HASH, HASH, st.binary(), COUNT),
    st.builds(Refusal, HASH, st.text(), st.text()),
)


@given(MESSAGES)
def test_every_message_survives_the_wire(message):
    assert decode_message(message.kind, encode_message(message)) == message


@given(st.integers(1, 13), st.binary(max_size=200))
def test_foreign_bytes_are_refused_or_canonical(kind, data):
    try:
        message = decode_message(kind, data)
    except WireError:
        return
    assert encode_message(message) == data


@given(MESSAGES, st.data())
def test_truncated_messages_never_pass_for_the_original(message, data):
    encoded = encode_message(message)
    part = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        assert (decode_message(message.kind, part) == message) == (part == encoded)
    except WireError:
        assert part != encoded


def test_unknown_fields_are_refused():
    with pytest.raises(WireError, match="canonical"):
        decode_message(pb.JOIN_REQUEST, encode_message(JoinRequest(b"x")) + b"\x7a\x01a")


def test_hash_of_the_wrong_length_is_refused():
    with pytest.raises(WireError, match="31 bytes, not 32"):
        decode_message(pb.IDENTIFY_REQUEST, pb.IdentifyRequest(nonce=bytes(31)).SerializeToString())


def test_unknown_kind_and_role_are_refused():
    with pytest.raises(WireError, match="kind 99"):
        decode_message(99, b"")
    request = pb.RoundRequest(plan_hash=bytes(32), round=1, attempt=1, transcript_hash=bytes(32))
    with pytest.raises(WireError, match="role 0"):
        decode_message(pb.ROUND_REQUEST, request.SerializeToString())


def test_size_of_a_contribution_does_not_depend_on_its_values():
    def packet(fill: bytes, count: int) -> int:
        vector = fill * 80
        message = Contribution(bytes(32), Role.TRAIN, 3, 1, fill * 32, fill * 32, vector, count, fill * 32, fill * 64)
        return len(encode_message(message))

    assert packet(b"\x01", 1) == packet(b"\xff", 2**64 - 1)
