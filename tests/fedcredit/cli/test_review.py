"""``fedcredit review``: list, show, decide, annotate, export."""

import json

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


def test_a_mistaken_file_is_named(cli, tmp_path):
    assert "cannot be read" in cli("review", "list", tmp_path / "REVIEW.yaml").err
    (tmp_path / "REVIEW.yaml").write_text("decisions: d.sqlite\nreviews: r.sqlite\nrule: {band: 3}\n")
    assert "band" in cli("review", "list", tmp_path / "REVIEW.yaml").err
