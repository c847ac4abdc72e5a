"""An older copy of a ledger: noticed by the institution's own counter or by its peers, and charged."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import BudgetError, LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.rollback import count_offset, lost_count, rolled_back
from tests.fedcredit.privacy.test_ledger import BUDGET, KEY, PLAN, charge, seal

OTHER = bytes([2]) * 32


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.sqlite"


def counter_of(path: Path) -> Path:
    return path.with_name(path.name + ".count")


def restored(path: Path) -> list[tuple[int, bytes]]:
    """A ledger with a job and three messages, set back to before them; the heads that were sent meanwhile."""
    Ledger.create(path, KEY, BUDGET).close()
    shutil.copy(path, path.with_name("backup"))
    heads = []
    with Ledger.open(path, KEY) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(3, 10), Fraction(0), {})
        for round_ in (1, 2, 3):
            ledger.commit(charge(round_), seal)
            heads.append((ledger.event_count, ledger.head_hash))
    shutil.copy(path.with_name("backup"), path)
    return heads


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_recovery_counts_on_above_everything_seen(own, seen):
    assert rolled_back(own, seen) == (seen > own)
    after = own + 1 + count_offset(own, seen)
    assert after > max(own, seen)
    assert after == max(own, seen) + 1
    assert not rolled_back(after, seen)


def test_only_counts_since_the_last_recovery_matter():
    events = [
        {"event": "rolled_back", "event_count": 9},
        {"event": "recovered"},
        {"event": "rolled_back", "event_count": 5},
        {"event": "rolled_back", "event_count": 7},
    ]
    assert [lost_count(events[:n]) for n in range(5)] == [0, 9, 0, 5, 7]


def test_a_backup_verifies_but_the_counter_knows_better(path):
    heads = restored(path)
    with Ledger.read(path, KEY.public) as reader:
        assert reader.event_count == 1
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"rolled back.*had 5.*ledger recover"):
            Ledger.open(path, KEY)
    Ledger.recover(path, KEY, Fraction(4, 10))
    with Ledger.open(path, KEY) as ledger:
        assert ledger.event_count == 6 == int(counter_of(path).read_text())
        assert ledger.committed() == Fraction(4, 10)
        # Peers go on showing the lost heads; they are paid for.
        assert all(ledger.has_been_at(*head) for head in heads)
        assert not ledger.has_been_at(7, bytes(32))
        with pytest.raises(BudgetError):
            ledger.reserve(OTHER, b"plan", Fraction(7, 10), Fraction(0), {})
        ledger.reserve(OTHER, b"plan", Fraction(6, 10), Fraction(0), {})
    with Ledger.open(path, KEY) as again:
        assert again.event_count == 7


def test_a_ledger_that_peers_have_seen_further_answers_nothing(path):
    with Ledger.create(path, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1, 2), Fraction(0), {})
        ledger.note("rolled_back", {"event_count": 40, "event_hash": "ab" * 32})
        assert ledger.rolled_back
        for act in (
            lambda: ledger.reserve(OTHER, b"plan", Fraction(1, 10), Fraction(0), {}),
            lambda: ledger.commit(charge(1), seal),
            lambda: ledger.finish(PLAN, bytes(32), seal),
            lambda: ledger.open_epoch(None),
        ):
            with pytest.raises(LedgerError, match="ledger recover"):
                act()
        assert ledger.event_count == 3
    Ledger.recover(path, KEY, Fraction(1, 4))
    with Ledger.open(path, KEY) as ledger:
        assert not ledger.rolled_back
        assert ledger.event_count == 41
        assert ledger.has_been_at(40, bytes.fromhex("ab" * 32))
        assert ledger.committed() == Fraction(3, 4)
        ledger.commit(charge(1), seal)
        assert ledger.stored(charge(1).slot).message.startswith(b"message 42")


def test_a_crash_between_the_commit_and_the_counter_is_no_rollback(path):
    with Ledger.create(path, KEY, BUDGET) as ledger:
        for _ in range(4):
            ledger.note("stop", {})
    for behind in (4, 1):
        counter_of(path).write_text(f"{behind}\n")
        with Ledger.open(path, KEY) as ledger:
            assert ledger.event_count == 5 == int(counter_of(path).read_text())


@pytest.mark.parametrize("spoil", ["missing", "empty", "words"])
def test_without_a_counter_nobody_knows_that_this_is_the_newest_ledger(path, spoil):
    Ledger.create(path, KEY, BUDGET).close()
    counter_of(path).unlink() if spoil == "missing" else counter_of(path).write_text("" if spoil == "empty" else "x")
    with pytest.raises(LedgerError, match="ledger recover"):
        Ledger.open(path, KEY)
    Ledger.recover(path, KEY, Fraction(0))
    with Ledger.open(path, KEY) as ledger:
        assert ledger.event_count == 2
    with pytest.raises(LedgerError, match="nothing to recover"):
        Ledger.recover(path, KEY, Fraction(0))


def test_a_removed_ledger_is_not_opened_anew(path):
    """A deleted file is the cheapest way to a fresh budget."""
    Ledger.create(path, KEY, BUDGET).close()
    path.unlink()
    with pytest.raises(LedgerError, match="opened here before"):
        Ledger.create(path, KEY, BUDGET)
    assert not path.exists()


def test_the_counter_is_the_owners_and_never_half_written(path):
    with Ledger.create(path, KEY, BUDGET) as ledger:
        for number in range(2, 12):
            ledger.note("stop", {})
            assert counter_of(path).read_text() == f"{number}\n"
    assert counter_of(path).stat().st_mode & 0o777 == 0o600
    assert not list(path.parent.glob("*.new"))


def test_the_counter_follows_the_commit_and_never_runs_ahead(path):
    """Ahead of the ledger after a crash, it would be a false alarm for ever."""
    with Ledger.create(path, KEY, BUDGET) as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})

        def look(count, head):
            assert (count, counter_of(path).read_text()) == (3, "2\n")
            return seal(count, head)

        def fail(count, head):
            raise RuntimeError("no bytes")

        with pytest.raises(RuntimeError):
            ledger.commit(charge(1), fail)
        assert counter_of(path).read_text() == "2\n"
        ledger.commit(charge(1), look)
        assert counter_of(path).read_text() == "3\n"


def test_commits_are_synced_before_they_return(path):
    with Ledger.create(path, KEY, BUDGET) as ledger:
        settings = [ledger._connection.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
        assert settings == [("wal",), (2,)]


def test_two_losses_are_both_charged(path):
    restored(path)
    Ledger.recover(path, KEY, Fraction(1, 10))
    shutil.copy(path, path.with_name("backup"))
    with Ledger.open(path, KEY) as ledger:
        ledger.note("stop", {})
    shutil.copy(path.with_name("backup"), path)
    with pytest.raises(LedgerError, match="rolled back"):
        Ledger.open(path, KEY)
    Ledger.recover(path, KEY, Fraction(2, 10))
    with Ledger.open(path, KEY) as ledger:
        assert ledger.committed() == Fraction(3, 10)
        assert [event["count_offset"] for event in ledger.notes("recovered")] == [4, 1]


def test_a_counter_behind_a_link_stays_on_its_own_disk(path):
    """Replacing the link would leave a counter beside the ledger, which the next backup brings back with it."""
    Ledger.create(path, KEY, BUDGET).close()
    elsewhere = path.with_name("other-disk")
    elsewhere.mkdir()
    counter_of(path).rename(elsewhere / "count")
    counter_of(path).symlink_to(elsewhere / "count")
    with Ledger.open(path, KEY) as ledger:
        ledger.note("stop", {})
    assert counter_of(path).is_symlink()
    assert (elsewhere / "count").read_text() == "2\n"


def test_a_counter_that_cannot_be_read_is_no_reason_to_recover(path):
    """It may hold a higher count than the ledger: a recovery that does not know it would count on too low."""
    Ledger.create(path, KEY, BUDGET).close()
    counter_of(path).unlink()
    counter_of(path).mkdir()
    for act in (lambda: Ledger.open(path, KEY), lambda: Ledger.recover(path, KEY, Fraction(0))):
        with pytest.raises(LedgerError, match="cannot be read"):
            act()
