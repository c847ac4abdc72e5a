"""Scores of a table as a file: what is in it, in which parts it is made, and what is refused."""

import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.dictionary.mapping import ColumnMapping, identity_mapping
from fedcredit.errors import ConfigError, DataError, DictionaryError
from fedcredit.package.storage import write_package
from fedcredit.scoring import batch
from fedcredit.scoring.batch import Wanted, score_table
from fedcredit.scoring.card import card_of
from fedcredit.scoring.decisions import DecisionLog, subject_hash
from fedcredit.scoring.single import SingleScorer
from tests import packages

ROWS = 250
KEY = bytes(range(32))


@pytest.fixture
def card():
    return card_of(packages.package(), "bank")


@pytest.fixture
def table():
    return pa.table(packages.odd_values(7, ROWS))


def written(card, table, path, mapping=None, **wanted):
    summary = score_table(card, TableSource(table), mapping, path, Wanted(**wanted))
    return summary, pq.read_table(path).to_pylist()


def test_every_row_says_what_its_score_is_made_of(card, table, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_ROWS", 64)
    summary, rows = written(card, table, tmp_path / "s.parquet", cut_off=500)
    assert len(rows) == summary.rows == ROWS
    single, given = SingleScorer(card), table.to_pylist()
    names = [one.feature.name for one in card.features]
    for row, values in zip(rows, given, strict=True):
        score = single.score({name: values[name] for name in names})
        assert (row["id"], row["points"], set(row["flags"])) == (values["id"], score.points, set(score.flags))
        assert row["pd"] == pytest.approx(score.pd, rel=1e-14)
        assert row["verdict"] == ("approve" if score.points >= 500 else "decline")
        reasons = [(row[f"reason_{k}"], row[f"reason_{k}_text"], row[f"reason_{k}_points_lost"]) for k in range(1, 5)]
        expected = [(one.feature, one.text, one.points_lost) for one in single.reasons(score)]
        assert reasons == expected + [(None, None, None)] * (4 - len(expected))
    assert summary.flagged == sum(bool(row["flags"]) for row in rows)
    assert {row["package_hash"] for row in rows} == {card.package.digest}
    assert {row["model_hash"] for row in rows} == {card.package.model_hash}
    assert {row["dictionary_hash"] for row in rows} == {card.package.head.dictionary}
    assert len({row["decision_id"] for row in rows}) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["s.parquet"]


def test_ids_of_decisions_differ_from_run_to_run(card, table, tmp_path):
    both = [{row["decision_id"] for row in written(card, table, tmp_path / f"{n}.parquet")[1]} for n in (1, 2)]
    assert not both[0] & both[1]


def test_a_missing_block_is_said_in_every_row(card, table, tmp_path):
    summary, rows = written(card, table.drop_columns(["bill", "late", "same"]), tmp_path / "s.parquet")
    assert summary.absent == ("bank",)
    assert all("block:bank" in row["flags"] for row in rows)
    assert summary.flagged < ROWS


def test_a_part_of_a_block_is_not_guessed(card, table, tmp_path):
    with pytest.raises(DataError, match="lacks the column: late"):
        written(card, table.drop_columns(["late"]), tmp_path / "s.parquet")
    with pytest.raises(DataError, match="no column of a bank's features"):
        written(card, table.select(["id", "paid"]), tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_mapping_says_where_columns_are(card, table, tmp_path):
    plain = identity_mapping(card.package.dictionary, "bank")
    names = {"age": "Alter", "home": "home", "late": "late", "same": "same", "bill": "bill"}
    entries = {name: ColumnMapping(column=column) for name, column in names.items()}
    mapping = plain.model_copy(update={"features": entries, "id_column": None})
    renamed = table.rename_columns(["Alter" if name == "age" else name for name in table.column_names])
    _, rows = written(card, renamed, tmp_path / "s.parquet", mapping)
    _, expected = written(card, table, tmp_path / "t.parquet")
    assert [row["points"] for row in rows] == [row["points"] for row in expected]
    assert [row["id"] for row in rows] == [str(n) for n in range(1, ROWS + 1)]
    without = plain.model_copy(update={"features": {name: entries[name] for name in ("age", "home")}})
    assert written(card, renamed, tmp_path / "u.parquet", without)[0].absent == ("bank",)
    partial = plain.model_copy(update={"features": {name: entries[name] for name in ("age", "home", "late")}})
    with pytest.raises(DictionaryError, match="bill: no column is mapped"):
        written(card, renamed, tmp_path / "v.parquet", partial)


def test_a_fault_on_the_way_leaves_no_file(card, table, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_ROWS", 64)

    def stop(done, rows):
        if rows > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_table(card, TableSource(table), None, tmp_path / "s.parquet", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_overwritten(card, table, tmp_path):
    (tmp_path / "s.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        written(card, table, tmp_path / "s.parquet")


def test_decisions_are_logged_with_keyed_hashes(card, table, tmp_path):
    with DecisionLog(tmp_path / "d.sqlite") as log:
        _, rows = written(card, table, tmp_path / "s.parquet", cut_off=500, log=log, key=KEY)
    connection = sqlite3.connect(tmp_path / "d.sqlite")
    found = {row[1]: row[2:-1] for row in connection.execute("SELECT * FROM decision")}
    connection.close()
    assert len(found) == ROWS
    for row in rows:
        _, package, subject, pd, points, reasons, flags, verdict, cut_off = found[row["decision_id"]]
        assert (package, subject) == (card.package.digest, subject_hash(KEY, row["id"].encode()))
        assert (pd, points, json.loads(flags), verdict, cut_off) == (
            row["pd"],
            row["points"],
            row["flags"],
            row["verdict"],
            500,
        )
        assert [one["feature"] for one in json.loads(reasons)] == [
            row[f"reason_{k}"] for k in range(1, 5) if row[f"reason_{k}"]
        ]


def test_the_command_writes_a_file_and_prints_counts_only(cli, table, tmp_path):
    write_package(packages.files(), tmp_path / "p.zip")
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "data.key").write_text(KEY.hex())
    (tmp_path / "data.key").chmod(0o600)
    common = ("score", tmp_path / "p.zip", tmp_path / "t.parquet", "--out", tmp_path / "s.parquet")
    ran = cli(*common)
    assert (ran.code, ran.err) == (
        1,
        "error: the institution type is not chosen; set --view to one of: bank, hospital.\n",
    )
    logged = ("--decisions", tmp_path / "d.sqlite")
    assert "give the institution's data.key with --key" in cli(*common, "--view", "bank", *logged).err
    ran = cli(*common, "--view", "bank", *logged, "--key", tmp_path / "data.key", "--cut-off", "520")
    assert (ran.code, ran.err) == (0, "")
    assert "250 rows" in ran.out
    assert pq.read_metadata(tmp_path / "s.parquet").num_rows == ROWS
