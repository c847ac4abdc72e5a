"""A ledger lives on under another identity key, and everybody can follow it."""

from fractions import Fraction

import pytest

from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_audit import audit
from fedcredit.privacy.ledger_chain import verify_chain
from fedcredit.privacy.ledger_counter import beside
from fedcredit.privacy.ledger_export import export_lines, read_export
from fedcredit.privacy.ledger_keys import change_body
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.privacy.test_ledger import BUDGET, KEY, PLAN, charge, seal

NEW, NEWEST, STRANGER = (SigningKey.generate() for _ in range(3))


@pytest.fixture
def path(tmp_path):
    """A ledger with a charge under each of three keys."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(1, 2), {})
        ledger.commit(charge(1), seal)
    for number, (old, new) in enumerate(((KEY, NEW), (NEW, NEWEST)), 2):
        Ledger.change_key(path, old, new)
        with Ledger.open(path, new) as ledger:
            ledger.commit(charge(number), seal)
    return path


def test_charges_go_on_where_they_were(path):
    with Ledger.open(path, NEWEST) as ledger:
        assert ledger.job(PLAN).spent == Fraction(3, 10)
        assert ledger.event_count == 7
        assert ledger.keys == (KEY.public, NEW.public, NEWEST.public)
        signers = [ledger.signer_of(seq) for seq in range(1, 9)]
    assert signers == [KEY.public] * 4 + [NEW.public] * 2 + [NEWEST.public] * 2
    assert int(beside(path).read_text().split()[0]) == 7


@pytest.mark.parametrize("key", [KEY, NEW, NEWEST])
def test_whoever_pinned_any_of_its_keys_can_verify_it(path, key):
    with Ledger.read(path, key.public) as ledger:
        rows = ledger.rows()
    verify_chain(rows, key.public)
    found = audit(rows, key.public)
    assert found.keys == [KEY.public.hex(), NEW.public.hex(), NEWEST.public.hex()]
    assert (found.events, found.charges) == (7, 3)


def test_a_stranger_s_key_verifies_nothing(path):
    with pytest.raises(LedgerError, match="does not hold under key"):
        Ledger.read(path, STRANGER.public)


@pytest.mark.parametrize("key", [KEY, NEW, STRANGER])
def test_only_the_newest_key_writes(path, key):
    with pytest.raises(LedgerError, match=r"kept under key|does not hold under key"):
        Ledger.open(path, key)


def test_a_change_that_is_done_changes_nothing(path):
    before = path.read_bytes()
    Ledger.change_key(path, NEW, NEWEST)
    assert path.read_bytes() == before


@pytest.mark.parametrize("old", [KEY, STRANGER])
def test_only_the_present_key_names_the_next(path, old):
    with pytest.raises(LedgerError):
        Ledger.change_key(path, old, STRANGER)
    with Ledger.open(path, NEWEST) as ledger:
        assert ledger.signer == NEWEST.public


def test_an_export_is_followed_too(path):
    with Ledger.read(path, NEWEST.public) as ledger:
        rows = ledger.rows()
    key, exported = read_export(b"".join(export_lines(rows, NEWEST)))
    assert key == NEWEST.public
    assert audit(exported, KEY.public).keys[-1] == key.hex()


def forged(body: dict, signed_by: SigningKey) -> Ledger:
    """A change of key as its owner's software never writes it, and an event after it."""
    ledger = Ledger.create(None, KEY, BUDGET)
    ledger._append("key_changed", {"event": "key_changed", **body})
    ledger._key = signed_by
    ledger._append("note", {"event": "note"})
    return ledger


def test_a_change_holds_for_its_place_only():
    with Ledger.create(None, KEY, BUDGET) as ledger:
        body = change_body(KEY.public, NEW, ledger.head_hash)
        ledger._append("key_changed", body)
        ledger._key = NEW
        ledger._append("note", {"event": "note"})
        verify_chain(ledger.rows(), KEY.public)
    elsewhere = change_body(KEY.public, NEW, bytes(32))
    with forged(elsewhere, NEW) as ledger, pytest.raises(LedgerError, match="a change of key"):
        verify_chain(ledger.rows(), KEY.public)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"new_public_key": NEW.public.hex()},
        {"new_public_key": NEW.public.hex(), "proof": "00" * 64},
        {"new_public_key": NEW.public.hex()[:-2], "proof": "00" * 64},
        {"new_public_key": None, "proof": 7},
        {"new_public_key": "no hex", "proof": "00"},
    ],
    ids=["nothing", "no proof", "a wrong proof", "a short key", "other types", "no hex"],
)
def test_a_key_that_did_not_agree_is_refused(body):
    with forged(body, NEW) as ledger, pytest.raises(LedgerError, match="a change of key in the ledger does not hold"):
        verify_chain(ledger.rows(), KEY.public)


def test_the_old_key_signs_nothing_afterwards(path):
    with Ledger.open(path, NEWEST) as ledger:
        ledger._key = NEW
        with ledger._writing():
            ledger._append("note", {"event": "note"})
        with pytest.raises(LedgerError, match="ledger event 8 does not hold"):
            ledger.verify()
