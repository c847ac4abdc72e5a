"""The keyed stream: a fixed algorithm, unseedable, uncopyable, and a function of its context only."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import PrivacyError
from fedcredit.privacy.bits import KEY_BYTES, MAX_STREAM_BYTES, BitSource, OsBitSource, noise_context


def test_the_stream_is_chacha20_under_a_key_derived_by_hmac() -> None:
    """The expected bytes come from another library's ChaCha20 and an HMAC written out by hand."""
    source = OsBitSource()
    source._key[:] = bytes(range(KEY_BYTES))
    stream = source.stream(noise_context(b"job", b"train"), 80)
    assert stream[:16].hex() == "c7b7a1e28fd03c9ffe4fd8b9ead60dca"
    assert stream[64:].hex() == "c2e8e94a99e73149a16eb338c741c244"


def test_the_same_context_repeats_and_a_shorter_request_is_a_prefix() -> None:
    source: BitSource = OsBitSource()
    stream = source.stream(b"context", 1000)
    assert source.stream(b"context", 1000) == stream
    assert source.stream(b"context", 77) == stream[:77]
    assert source.stream(b"context", 0) == b""


def test_other_contexts_and_other_sources_share_nothing() -> None:
    source = OsBitSource()
    streams = [source.stream(context, 64) for context in (b"a", b"b", b"")]
    streams.append(OsBitSource().stream(b"a", 64))
    blocks = {stream[i : i + 8] for stream in streams for i in range(0, 64, 8)}
    assert len(blocks) == 4 * 8


@given(st.lists(st.binary(max_size=20), max_size=6), st.lists(st.binary(max_size=20), max_size=6))
def test_contexts_are_equal_only_when_their_fields_are(left: list[bytes], right: list[bytes]) -> None:
    assert (noise_context(*left) == noise_context(*right)) == (left == right)


def test_moving_a_boundary_changes_the_context() -> None:
    assert noise_context(b"ab", b"c") != noise_context(b"a", b"bc")
    assert noise_context(b"ab") != noise_context(b"ab", b"")


def test_it_cannot_be_seeded() -> None:
    with pytest.raises(TypeError):
        OsBitSource(1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        OsBitSource().seed = 1  # type: ignore[attr-defined]


def test_it_is_never_printed_copied_or_pickled() -> None:
    source = OsBitSource()
    assert repr(source) == str(source) == "OsBitSource(key hidden)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(PrivacyError, match="never leaves its process"):
            leak(source)


def test_a_wiped_key_is_zeroed_and_unusable() -> None:
    source = OsBitSource()
    key = source._key
    assert len(key) == KEY_BYTES
    assert any(key)
    source.wipe()
    source.wipe()
    assert key == bytes(KEY_BYTES)
    with pytest.raises(PrivacyError, match="wiped"):
        source.stream(b"context", 1)


@pytest.mark.parametrize("n_bytes", [-1, MAX_STREAM_BYTES + 1])
def test_a_length_beyond_the_counter_is_refused(n_bytes: int) -> None:
    with pytest.raises(PrivacyError, match="n_bytes"):
        OsBitSource().stream(b"context", n_bytes)
