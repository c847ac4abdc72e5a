"""The decision log: what is written stays, all of a batch or nothing, and persons are hashes under the own key."""

import sqlite3

import pytest

from fedcredit.errors import ConfigError
from fedcredit.scoring.decisions import Decision, DecisionLog, subject_hash, verdict_of

KEY = bytes(range(32))


def decision(number, **changes):
    reasons = ({"feature": "age", "text": "Älter", "points_lost": 3},)
    fields = {"pd": 0.1, "points": 600, "reasons": reasons, "flags": ("range:age",)} | changes
    return Decision(f"d-{number}", "2026-11-22T00:00:00+00:00", "ab" * 32, subject_hash(KEY, b"7"), **fields)


def rows(path):
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = connection.execute("SELECT * FROM decision ORDER BY seq").fetchall()
    connection.close()
    return found


def test_rows_are_kept_and_come_back_after_a_reopening(tmp_path):
    path = tmp_path / "d.sqlite"
    with DecisionLog(path) as log:
        log.append([decision(1), decision(2, verdict="approve", cut_off=580)])
    with DecisionLog(path) as log:
        log.append([decision(3)])
    found = rows(path)
    assert [row["decision_id"] for row in found] == ["d-1", "d-2", "d-3"]
    assert found[0]["reasons"] == '[{"feature": "age", "text": "Älter", "points_lost": 3}]'
    assert (found[0]["flags"], found[0]["verdict"], found[0]["cut_off"]) == ('["range:age"]', None, None)
    assert (found[1]["verdict"], found[1]["cut_off"]) == ("approve", 580)
    assert path.stat().st_mode & 0o077 == 0


def test_a_batch_with_a_known_id_is_refused_whole(tmp_path):
    path = tmp_path / "d.sqlite"
    with DecisionLog(path) as log:
        log.append([decision(1)])
        with pytest.raises(ConfigError, match="cannot be written"):
            log.append([decision(2), decision(1)])
    assert [row["decision_id"] for row in rows(path)] == ["d-1"]


COPIED = "decision_id, at, package_hash, subject_hash, pd, 700, reasons, flags, verdict, cut_off, hash FROM decision"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decision SET points = 1",
        "DELETE FROM decision",
        f"REPLACE INTO decision SELECT seq, {COPIED}",
        f"REPLACE INTO decision SELECT 2, {COPIED}",
    ],
    ids=["update", "delete", "replace", "replace by id"],
)
def test_nothing_changes_or_deletes_a_row(tmp_path, statement):
    path = tmp_path / "d.sqlite"
    with DecisionLog(path) as log:
        log.append([decision(1)])
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(statement)
    connection.close()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "d.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE decision (x)")
    connection.close()
    with pytest.raises(ConfigError, match="other columns"):
        DecisionLog(path)
    (tmp_path / "text").write_text("no database at all, and long enough to be looked at " * 20)
    with pytest.raises(ConfigError, match="cannot be opened"):
        DecisionLog(tmp_path / "text")


def test_a_person_is_a_hash_under_the_own_key():
    assert subject_hash(KEY, b"7") != subject_hash(KEY, b"8")
    assert subject_hash(KEY, b"7") != subject_hash(KEY[::-1], b"7")
    assert subject_hash(KEY, b"") == ""


def test_the_cut_off_is_approved():
    assert [verdict_of(points, 580) for points in (579, 580)] == ["decline", "approve"]
    assert verdict_of(579, None) is None
