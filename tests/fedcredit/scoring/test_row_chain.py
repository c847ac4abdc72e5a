"""Chained tables: what an insider does to the file with plain SQL, and what is noticed of it."""

import sqlite3
from contextlib import closing

import pytest

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.review.cases import verified_decisions
from fedcredit.scoring.decisions import CHAIN, DecisionLog
from fedcredit.scoring.row_chain import End, transaction
from tests.fedcredit.scoring.test_decisions import decision


def edited(path, *statements):
    """As whoever may write the file: without the triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("stays", "remains", "follows"):
            connection.execute(f"DROP TRIGGER IF EXISTS decision_{name}")
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def path(tmp_path):
    with DecisionLog(tmp_path / "d.sqlite") as log:
        log.append([decision(n, verdict="approve", cut_off=580) for n in range(4)])
    return tmp_path / "d.sqlite"


def test_a_log_that_nobody_touched_holds(path):
    found = verified_decisions(path, ["no hash"])
    assert (found.end.number, len(found.end.hash), found.found) == (4, 64, frozenset())
    with DecisionLog(path) as log:
        log.append([decision(9, pd=1, points=0)])  # whole numbers where SQLite keeps fractions
    assert verified_decisions(path, [found.end.hash]).found == {found.end.hash}
    assert verified_decisions(path, ()).end.number == 5


COPIED = "at, package_hash, subject_hash, pd, 700, reasons, flags, verdict, cut_off, hash FROM decision"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decision SET verdict = 'decline' WHERE seq = 2",
        "UPDATE decision SET pd = pd + 1e-12 WHERE seq = 1",
        "UPDATE decision SET cut_off = NULL WHERE seq = 3",
        "DELETE FROM decision WHERE seq = 2",
        "DELETE FROM decision WHERE seq = 1",
        "UPDATE decision SET seq = 10 - seq",
        f"INSERT INTO decision SELECT 5, 'd-5', {COPIED} WHERE seq = 4",
        f"REPLACE INTO decision SELECT 2, 'd-1', {COPIED} WHERE seq = 2",
    ],
    ids=["verdict", "pd", "null", "middle", "first", "order", "added", "replaced"],
)
def test_an_edited_row_is_noticed(path, statement):
    edited(path, statement)
    with pytest.raises(LedgerError, match="does not hold"):
        verified_decisions(path, ())


def test_an_end_that_was_cut_off_is_noticed_by_a_hash_that_was_written_down(path):
    head = verified_decisions(path, ()).end.hash
    edited(path, "DELETE FROM decision WHERE seq = 4")
    assert verified_decisions(path, [head]).found == frozenset()


def rewritten(path):
    """Every row from the second on as the insider would have it, hashes and all."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM decision ORDER BY seq").fetchall()
        connection.execute("DELETE FROM decision WHERE seq > 1")
        changed = [(*row[1:6], 700, *row[7:-1]) for row in rows[1:]]
        CHAIN.append(connection, End(1, rows[0][-1]), changed)


@pytest.mark.parametrize("attack", ["cut", "rewritten"])
def test_who_has_the_log_open_notices_what_a_new_reader_cannot(path, attack):
    with DecisionLog(path) as log:
        edited(path, *(["DELETE FROM decision WHERE seq > 2"] if attack == "cut" else []))
        if attack == "rewritten":
            rewritten(path)
        verified_decisions(path, ())
        with pytest.raises(ConfigError, match="cut back or changed while it was open: row 4"):
            log.append([decision(7)])


def test_the_last_row_is_looked_at_when_a_log_is_opened(path):
    edited(path, "UPDATE decision SET points = 1 WHERE seq = 4")
    with pytest.raises(ConfigError, match="last row was changed"):
        DecisionLog(path)


def test_several_processes_write_one_chain(path):
    with DecisionLog(path) as one, DecisionLog(path) as other:
        for number in range(10, 16):
            (one if number % 2 else other).append([decision(number)])
    assert verified_decisions(path, ()).end.number == 10


def test_a_transaction_is_whole_or_nothing(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:

        def half_done():
            with transaction(connection):
                CHAIN.append(connection, End(), [decision(8).row()])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            half_done()
        assert CHAIN.verified(connection).number == 4
