"""Hashes of many messages are HMAC-SHA256, byte for byte."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.keyed_hashes import keyed_hashes


@given(st.binary(max_size=140), st.binary(max_size=70), st.lists(st.binary(max_size=150), max_size=4))
def test_they_are_those_of_the_standard_library(key, tag, messages):
    expected = [hmac.digest(key, tag + message, "sha256") for message in messages]
    assert list(keyed_hashes(key, tag, messages)) == expected


@pytest.mark.parametrize("length", [0, 63, 64, 65, 128])
def test_keys_around_a_block(length):
    key = bytes(range(length))
    assert list(keyed_hashes(key, b"t", [b"m"])) == [hmac.digest(key, b"tm", "sha256")]
