"""A change of identity key does not make anybody forget: what peers saw under the old key still shows a rollback."""

import shutil
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedcredit.custodian.witness import MOST_LOST, HeadBook, guard_own_heads
from fedcredit.errors import RefusalError
from fedcredit.privacy.ledger import Ledger
from fedcredit.roster import Roster
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import Head, read_head, sign_head
from tests.fedcredit.privacy.test_ledger import BUDGET, PLAN, charge, seal
from tests.rosters import KEYS, roster

OLD, NEW = KEYS["bank-1"], SigningKey.generate()


def head(key: SigningKey, count: int, event_hash: bytes) -> Head:
    return Head("bank-1", count, event_hash, sign_head(key, "bank-1", count, event_hash, witnessed=True))


def rotated(before: Roster) -> Roster:
    members = [
        one if one.id != "bank-1" else one.model_copy(update={"public_key": NEW.public.hex()}) for one in before.members
    ]
    changes = {"version": 2, "previous": before.digest().hex(), "members": tuple(members)}
    return before.model_copy(update=changes)


@pytest.fixture
def set_back(tmp_path: Path) -> tuple[Path, Head]:
    """A ledger that was set back to before two charges, with its counter, and the head that a peer saw of it."""
    folder, backup = tmp_path / "now", tmp_path / "backup"
    folder.mkdir()
    path = folder / "ledger.sqlite"
    with Ledger.create(path, OLD, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(1, 2), {})
    shutil.copytree(folder, backup)
    with Ledger.open(path, OLD) as ledger:
        for number in (1, 2):
            ledger.commit(charge(number), seal)
        seen = head(OLD, ledger.event_count, ledger.head_hash)
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    return path, seen


def test_a_ledger_that_was_set_back_is_found_out_under_its_new_key(set_back: tuple[Path, Head]) -> None:
    path, seen = set_back
    Ledger.change_key(path, OLD, NEW)
    with Ledger.open(path, NEW) as ledger:
        with pytest.raises(RefusalError) as refusal:
            guard_own_heads("bank-1", [seen.encode()], ledger)
        assert refusal.value.code == "rolled-back"
        assert ledger.rolled_back


def test_a_head_of_a_key_that_was_never_ours_says_nothing(set_back: tuple[Path, Head]) -> None:
    path, seen = set_back
    with Ledger.open(path, OLD) as ledger:
        guard_own_heads("bank-1", [head(NEW, seen.event_count, seen.event_hash).encode(), b"nonsense"], ledger)
        assert not ledger.rolled_back


def test_peers_show_what_they_saw_under_the_old_key_and_the_newest_under_the_new_one() -> None:
    """Also where whoever stole the old key signs a count that no ledger reaches."""
    before = roster()
    after = rotated(before)
    stolen, later = head(OLD, 10**6, b"x" * 32), head(NEW, 60, b"y" * 32)
    notes = {"charge": [{"heads": [one.encode().hex() for one in (head(OLD, 50, b"z" * 32), stolen)]}], "keys": []}
    book = HeadBook(SimpleNamespace(notes=notes.get), after)
    book.take_contributed([later])
    transcript = SimpleNamespace(peers=[SimpleNamespace(institution="bank-1")])
    shown = [read_head(data) for data in book.testimony(transcript)]
    assert shown == [later, stolen]


@pytest.mark.parametrize("count", [2**33, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_stolen_key_cannot_name_a_count_beyond_which_nothing_can_be_recovered(
    set_back: tuple[Path, Head], count: int
) -> None:
    """SQLite counts to 2^63 - 1; a ledger that was recovered up there would have no room for another event."""
    path, _ = set_back
    Ledger.change_key(path, OLD, NEW)
    with Ledger.open(path, NEW) as ledger:
        guard_own_heads("bank-1", [head(OLD, count, b"x" * 32).encode()], ledger)
        assert not ledger.rolled_back


def test_what_a_stolen_key_can_name_can_be_recovered(set_back: tuple[Path, Head]) -> None:
    path, _ = set_back
    Ledger.change_key(path, OLD, NEW)
    for _ in range(2):
        with Ledger.open(path, NEW) as ledger:
            forged = head(OLD, ledger.event_count + MOST_LOST, b"x" * 32).encode()
            with pytest.raises(RefusalError, match="older copy"):
                guard_own_heads("bank-1", [forged], ledger)
        Ledger.recover(path, NEW, Fraction(1, 100))
        with Ledger.open(path, NEW) as ledger:
            guard_own_heads("bank-1", [forged], ledger)
            assert not ledger.rolled_back
