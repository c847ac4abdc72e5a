"""What people said: append-only, chained, in force or superseded."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from fedcredit.errors import LedgerError
from fedcredit.review.history import GENESIS, Review, append, read_history

SAID = Review(
    "2026-11-22T10:00:00", "d-1", "rita", "root", "decline", "approve", "income was proved", ("3 points below",)
)


def written(path, *reviews):
    for one in reviews:
        append(path, lambda _history, one=one: one)
    return path


def test_the_latest_verdict_is_in_force_and_nothing_is_lost(tmp_path):
    note, back = replace(SAID, person=None, reason="a note"), replace(SAID, person="decline", reviewer="rolf")
    history = read_history(written(tmp_path / "r.sqlite", SAID, note, back, replace(SAID, decision_id="d-2")))
    assert history.of("d-1") == (SAID, note, back)
    assert history.in_force()["d-1"] == back
    assert [one.is_override for one in history.reviews] == [True, False, False, True]
    assert not replace(SAID, machine=None).is_override


def test_an_empty_history_is_none(tmp_path):
    assert read_history(tmp_path / "none.sqlite").head == GENESIS


def test_who_writes_sees_what_was_written(tmp_path):
    path = written(tmp_path / "r.sqlite", SAID)
    seen = []
    append(path, lambda history: seen.append(history.reviews) or replace(SAID, person=None))
    assert seen == [(SAID,)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE review SET body = CAST(replace(CAST(body AS TEXT), 'approve', 'decline') AS BLOB)", "does not hold"),
        ("DELETE FROM review WHERE number = 1", "does not hold"),
        ("UPDATE review SET body = x'7b7d'", "cannot be read"),
        ("UPDATE review SET number = number + 10", "does not hold"),
    ],
)
def test_a_changed_history_is_noticed(tmp_path, statement, words):
    path = written(tmp_path / "r.sqlite", SAID, replace(SAID, decision_id="d-2"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            connection.execute(statement)
        connection.execute("DROP TRIGGER review_stays")
        connection.execute("DROP TRIGGER review_remains")
        connection.execute(statement)
    with pytest.raises(LedgerError, match=words):
        read_history(path)
    with pytest.raises(LedgerError, match=words):
        written(path, SAID)


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "r.sqlite").write_text("no database at all, and long enough to be looked at as one" * 20)
    with pytest.raises(LedgerError, match="cannot be used"):
        read_history(tmp_path / "r.sqlite")
