import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import ConfigError, RefusalError, WireError
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import IdentifyReply, IdentifyRequest

KEY = SigningKey.generate()
OTHER = SigningKey.generate()


def test_a_sealed_message_opens_under_its_key_only():
    sealed = KEY.seal("bank-1", IdentifyRequest(bytes(32)))
    envelope = open_envelope(sealed)
    assert envelope.sender == "bank-1"
    assert envelope.verify(KEY.public) == IdentifyRequest(bytes(32))
    with pytest.raises(RefusalError, match="does not match"):
        envelope.verify(OTHER.public)


@settings(max_examples=60)
@given(st.data())
def test_any_changed_byte_is_noticed(data):
    sealed = bytearray(KEY.seal("bank-1", IdentifyRequest(bytes(range(32)))))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((WireError, RefusalError)):
        open_envelope(bytes(sealed)).verify(KEY.public)


def test_a_signature_is_bound_to_the_kind_of_message():
    request = open_envelope(KEY.seal("bank-1", IdentifyRequest(bytes(32))))
    reply = open_envelope(KEY.seal("bank-1", IdentifyReply(bytes(32))))
    assert request.payload == reply.payload
    assert request.signature != reply.signature


def test_a_key_file_keeps_the_key_and_its_owner(tmp_path):
    path = tmp_path / "identity.pem"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == KEY.public
    with pytest.raises(FileExistsError):
        OTHER.save(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        SigningKey.load(path)


def test_a_missing_or_foreign_key_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="keygen"):
        SigningKey.load(tmp_path / "none.pem")
    path = tmp_path / "other.pem"
    path.touch(mode=0o600)
    with pytest.raises(ConfigError, match="not a PEM"):
        SigningKey.load(path)


def test_the_key_is_not_printed():
    assert KEY.public.hex()[:16] in repr(KEY)
    assert "Private" not in repr(KEY)
