from dataclasses import replace

import pytest

from fedcredit.errors import ConfigError, FedcreditError
from fedcredit.provisioning.invitation import DICTIONARY, LETTER, Invitation, Letter, fingerprint, read_invitation
from fedcredit.provisioning.new_files import write_new
from fedcredit.wire.envelope import SigningKey
from tests import tiny

LETTER_VALUES = {
    "coordinator": "coordinator",
    "coordinator_key": SigningKey.generate().public.hex(),
    "superlink": "consortium.example:9443",
    "bundles": ("ab" * 32,),
}


@pytest.fixture
def invitation() -> Invitation:
    return Invitation(Letter.model_validate(LETTER_VALUES), tiny.DICTIONARY, b"a certificate")


@pytest.fixture
def written(invitation, tmp_path):
    write_new(tmp_path, invitation.files())
    return tmp_path


def test_what_is_read_is_what_was_written(invitation, written):
    read = read_invitation(written)
    assert read == invitation
    assert read.digest() == invitation.digest()
    assert read.contract().name == "tiny"
    assert fingerprint(read.letter.coordinator_key) in (written / LETTER).read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"letter": Letter.model_validate({**LETTER_VALUES, "superlink": "consortium.example:9444"})},
        {"letter": Letter.model_validate({**LETTER_VALUES, "bundles": ()})},
        {"letter": Letter.model_validate({**LETTER_VALUES, "region": "DE"})},
        {"dictionary": tiny.DICTIONARY + b"# "},
        {"ca": b"another certificate"},
    ],
    ids=["port", "bundles", "region", "dictionary", "ca"],
)
def test_the_hash_that_is_read_out_covers_everything(invitation, change):
    assert replace(invitation, **change).digest() != invitation.digest()


def test_a_fingerprint_tells_keys_apart():
    assert fingerprint("00" * 32) != fingerprint("01" * 32)
    assert len(fingerprint("00" * 32)) == 19


def test_a_missing_file_is_named(written):
    (written / DICTIONARY).unlink()
    with pytest.raises(ConfigError, match=r"it holds INVITATION\.yaml, dictionary\.yaml, ca\.pem: ask for it again"):
        read_invitation(written)


def test_a_private_key_in_it_is_an_incident(written):
    (written / "ca.pem").write_bytes(b"-----BEGIN EC PRIVATE KEY-----")
    with pytest.raises(ConfigError, match="must replace that key"):
        read_invitation(written)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"consortium.example:9443", b"consortium.example", "superlink"),
        (b"consortium.example:9443", b"user@consortium.example:9443", "superlink"),
        (b"invitation/1", b"invitation/2", "format"),
        (b"coordinator: coordinator", b"coordinator: Coordinator", "coordinator"),
        (b"superlink:", b"address:", "superlink"),
        (b"bundles:", b"bundles:   ", "was rewritten since"),
    ],
)
def test_what_is_no_invitation_is_refused(written, old, new, words):
    text = (written / LETTER).read_bytes()
    assert old in text
    (written / LETTER).write_bytes(text.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        read_invitation(written)


def test_a_dictionary_that_is_none_is_refused(written):
    (written / DICTIONARY).write_text("schema_version: 1\n")
    with pytest.raises(FedcreditError, match="dictionary"):
        read_invitation(written)
