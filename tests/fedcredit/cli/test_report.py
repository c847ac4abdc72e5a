"""``fedcredit report``: what it writes where, and its errors."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.plan import EvaluationTerms
from tests import tiny
from tests.verified_runs import consortium_of, run_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("reported")
    job = replace(tiny.spec(tiny.LOCAL, rounds=1), evaluation=EvaluationTerms(score_bins=10))
    run_job(place, consortium_of(job, ("bank-1", "bank-2", "hospital-1")), job)
    return place


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fedcredit", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_page_json_and_card_go_where_they_are_asked(folder, tmp_path, monkeypatch, capsys) -> None:
    outputs = ["--out", tmp_path / "r.html", "--json", tmp_path / "r.json", "--card", tmp_path / "new" / "card"]
    assert run(monkeypatch, folder, *outputs, "--lgd", "0.6", "--against", folder) == 0
    written = [line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines()]
    names = ("r.html", "r.json", "new/card/model-card.md", "new/card/model-card.json")
    assert written == [str(tmp_path / name) for name in names]
    tree = json.loads((tmp_path / "r.json").read_text())
    assert tree["decisions"]["economics"]["loss_given_default"] == 0.6
    assert tree["drift"]["why"] is None
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_json_alone_needs_no_drawing_library(folder, tmp_path, monkeypatch) -> None:
    for name in ("matplotlib", "jinja2", "fedcredit.report.figures", "fedcredit.report.page", "fedcredit.report.card"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(monkeypatch, folder, "--json", tmp_path / "r.json") == 0


@pytest.mark.parametrize("option", ["--out", "--card"])
def test_a_missing_library_is_one_sentence_that_names_the_extra(folder, tmp_path, monkeypatch, capsys, option) -> None:
    for name in ("figures", "page", "card"):
        monkeypatch.delitem(sys.modules, f"fedcredit.report.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert run(monkeypatch, folder, option, tmp_path / "x") == 1
    assert "pip install 'fedcredit[report]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--margin", "0"], "margin must lie above 0"),
        (["--cut-off", "1.5", "--json", "x"], "a cut-off is a PD between 0 and 1"),
        (["--json", "/nowhere/r.json"], "/nowhere/r.json cannot be written"),
    ],
)
def test_a_wrong_option_is_one_sentence(folder, monkeypatch, capsys, tmp_path, arguments, words) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, folder, *arguments) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
