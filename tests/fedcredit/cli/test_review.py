"""``fedcredit review``: list, show, decide, annotate, export."""

import dataclasses
import json
import sqlite3

import pytest

from fedcredit.scoring.decisions import DecisionLog
from tests.fedcredit.review.test_cases import decision


@pytest.fixture
def review(cli, tmp_path):
    with DecisionLog(tmp_path / "decisions.sqlite") as log:
        log.append([decision(1, 595), decision(2, 700), decision(3, 700, "range:age"), decision(4, 604)])
    file = tmp_path / "REVIEW.yaml"
    file.write_text("decisions: decisions.sqlite\nreviews: reviews.sqlite\n")
    return lambda name, *words: cli("review", name, file, *words)


def waits(review):
    return [json.loads(line)["decision_id"] for line in review("list", "--json").out.splitlines()]


def test_a_case_is_listed_decided_and_gone(review):
    assert waits(review) == ["d-1", "d-3", "d-4"]
    assert "3 wait; 0 were decided" in review("list", "--limit", "1").out
    assert review("decide", "d-4", "approve", "--reviewer", "rita").out == "d-4: approve\n"
    assert waits(review) == ["d-1", "d-3"]


@pytest.mark.parametrize("columns", [50, 80])
def test_a_decision_is_named_in_full_whatever_the_terminal(cli, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    long = dataclasses.replace(decision(1, 595), decision_id="2fa93a99120cc0a6-65535")
    with DecisionLog(tmp_path / "decisions.sqlite") as log:
        log.append([long])
    file = tmp_path / "REVIEW.yaml"
    file.write_text("decisions: decisions.sqlite\nreviews: reviews.sqlite\n")
    assert long.decision_id in cli("review", "list", file).out


def test_an_override_needs_a_reason_and_both_verdicts_are_kept(review, tmp_path):
    ran = review("decide", "d-1", "approve", "--reviewer", "rita")
    assert (ran.code, "the machine said decline, you say approve" in ran.err) == (1, True)
    assert waits(review) == ["d-1", "d-3", "d-4"]
    reason = ("--reason", "income was proved")
    assert "overrides" in review("decide", "d-1", "approve", "--reviewer", "rita", *reason).out
    ran = review("decide", "d-1", "decline", "--reviewer", "rolf")
    assert (ran.code, "rita said approve" in ran.err) == (1, True)
    assert review("decide", "d-1", "decline", "--reviewer", "rolf", "--reason", "not so").code == 0
    assert review("annotate", "d-2", "--reviewer", "rita", "--note", "asked for by the customer").code == 0
    out = tmp_path / "reviews.jsonl"
    assert review("export", "--out", out).code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["machine"], one["person"], one["override"]) for one in lines] == [
        ("decline", "approve", True),
        ("decline", "decline", False),
        ("approve", None, False),
    ]
    assert lines[0]["why"] == ["5 points below the cut-off"]
    assert lines[2]["why"] == []
    assert review("export", "--out", out).code == 1
    shown = review("show", "d-1").out
    assert "rita" in shown
    assert "income was proved" in shown
    assert "reason: Age (5 points lost)" in shown


def test_who_decides_gives_a_name(review):
    assert "is no id" in review("decide", "d-4", "approve", "--reviewer", " ").err
    assert "note is empty" in review("annotate", "d-4", "--reviewer", "rita", "--note", " ").err
    assert "no decision" in review("decide", "d-9", "approve", "--reviewer", "rita").err


def test_both_files_are_checked_and_their_newest_hashes_kept(review, tmp_path):
    assert review("decide", "d-4", "approve", "--reviewer", "rita").code == 0
    said = review("verify").out
    assert "4 decisions, all hold" in said
    assert "1 reviews, all hold" in said
    heads = [line.split("newest ")[1] for line in said.splitlines()[:2]]
    kept = [option for head in heads for option in ("--head", head)]
    assert review("verify", *kept).code == 0
    connection = sqlite3.connect(tmp_path / "decisions.sqlite", isolation_level=None)
    connection.executescript("DROP TRIGGER decision_remains; DELETE FROM decision WHERE seq = 4")
    assert "3 decisions, all hold" in review("verify").out
    assert "was cut back or written anew" in review("verify", *kept).err
    connection.executescript("DROP TRIGGER decision_stays; UPDATE decision SET verdict = 'approve' WHERE seq = 1")
    connection.close()
    for command in (("verify",), ("show", "d-1"), ("decide", "d-1", "approve", "--reviewer", "rita")):
        ran = review(*command)
        assert (ran.code, "row 1 does not hold" in ran.err) == (1, True)
    assert review("show", "d-3").code == 0


def test_a_mistaken_file_is_named(cli, tmp_path):
    assert "cannot be read" in cli("review", "list", tmp_path / "REVIEW.yaml").err
    (tmp_path / "REVIEW.yaml").write_text("decisions: d.sqlite\nreviews: r.sqlite\nrule: {band: 3}\n")
    assert "band" in cli("review", "list", tmp_path / "REVIEW.yaml").err
