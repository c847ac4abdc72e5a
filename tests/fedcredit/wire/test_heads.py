"""Ledger heads: their bytes, their signature, and which of several is the newest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import WireError
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import Head, newest, read_head, sign_head

KEY = SigningKey.generate()
HASH = st.binary(min_size=32, max_size=32)
HEADS = st.builds(Head, st.text(max_size=20), st.integers(0, 2**64 - 1), HASH, st.binary(min_size=64, max_size=64))


def signed(institution: str, event_count: int, event_hash: bytes) -> Head:
    return Head(institution, event_count, event_hash, sign_head(KEY, institution, event_count, event_hash))


@given(HEADS)
def test_a_head_survives_its_bytes(head):
    assert read_head(head.encode()) == head


@given(st.text(max_size=20), st.integers(0, 2**64 - 1), HASH)
def test_only_the_owners_signature_over_exactly_this_head_holds(institution, event_count, event_hash):
    head = signed(institution, event_count, event_hash)
    assert head.holds(KEY.public)
    assert not head.holds(SigningKey.generate().public)
    other = (institution + "x", event_count ^ 1, bytes(value ^ 1 for value in event_hash))
    for place, value in enumerate(other):
        fields = [institution, event_count, event_hash]
        fields[place] = value
        assert not Head(*fields, head.signature).holds(KEY.public)


@pytest.mark.parametrize("change", [{"event_hash": bytes(31)}, {"signature": bytes(63)}, {"signature": b""}])
def test_a_head_of_other_lengths_is_foreign(change):
    fields = {"institution": "a", "event_count": 1, "event_hash": bytes(32), "signature": bytes(64)}
    with pytest.raises(WireError, match="wrong length"):
        read_head(Head(**fields | change).encode())


def test_the_newest_head_is_kept_and_of_two_branches_the_first():
    first, fork = signed("a", 5, b"1" * 32), signed("a", 5, b"2" * 32)
    later, other = signed("a", 6, b"3" * 32), signed("b", 1, b"4" * 32)
    assert newest([first, fork, other]) == {"a": first, "b": other}
    assert newest([first, fork, later]) == {"a": later}
    assert newest([later, first]) == {"a": later}
