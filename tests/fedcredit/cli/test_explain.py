"""``fedcredit explain`` on tables as an institution has them: no outcome column, own names, markup in texts."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedcredit import preflight
from fedcredit.cli.explain import explain
from fedcredit.errors import ConfigError, DataError, DictionaryError
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from tests import tiny

APP = typer.Typer()
APP.command()(explain)
TABLE = "age,status,bill\n25,8,10\n70,-2,90000\n,,\n"


def run(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def released(spec):
    """A model as it is after preflight: what the counts say, before any round."""
    family, dictionary = family_of(spec.family), tiny.dictionary()
    parts = [(kind, tiny.rows(kind, 2000, seed)) for seed, kind in enumerate(dictionary.kinds)]
    counts = sum(preflight.count(dictionary, kind, rows).sum(axis=0) for kind, rows in parts)
    release = preflight.read_release(dictionary, counts, 1, dict.fromkeys(range(4), 0))
    length = family.terms(spec, dictionary).vector_length
    return family.release(family.init(spec, dictionary, release, np.ones(length), np.full(length, 4000.0)))


@pytest.fixture(scope="module", params=[MlpSpec(), AdditiveSpec()], ids=lambda spec: spec.family)
def model(request):
    return released(request.param)


@pytest.fixture
def files(tmp_path, model):
    (tmp_path / "model.json").write_text(json.dumps(model))
    worded = tiny.DICTIONARY.replace(b"reason: status", b'reason: "[bold]Payments[/bold] late"')
    (tmp_path / "dictionary.yaml").write_bytes(worded)
    (tmp_path / "rows.csv").write_text(TABLE)
    return tmp_path / "model.json", tmp_path / "dictionary.yaml", tmp_path / "rows.csv"


def test_json_adds_up_and_names_the_reasons(files):
    ran = run(*files, "--view", "bank", "--json")
    assert ran.exit_code == 0
    answer = json.loads(ran.stdout)
    late, prompt, unknown = answer["rows"]
    assert [row["row"] for row in answer["rows"]] == [1, 2, 3]
    assert (late["reasons"][0]["feature"], late["reasons"][0]["text"]) == ("status", "[bold]Payments[/bold] late")
    assert late["score"] > prompt["score"] + 0.1
    assert "status" not in [reason["feature"] for reason in prompt["reasons"]]
    assert len({row["score"] for row in (late, prompt, unknown)}) == 3
    for row in answer["rows"]:
        values = [reason["contribution"] for reason in row["reasons"]]
        assert values == sorted(values, reverse=True)
        assert all(value > 0 for value in values)
        # What counts in the customer's favour is not listed, so the reasons alone never fall short of the score.
        assert answer["base"] + sum(values) >= row["score"] - 1e-9


def test_the_table_shows_the_same_in_words(files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    answer = json.loads(run(*files, "--view", "bank", "--json").stdout)
    ran = run(*files, "--view", "bank", "--rows", "2")
    assert ran.exit_code == 0
    first = answer["rows"][0]
    assert f"{first['score']:.2f}" in ran.stdout
    assert f"{answer['base']:.2f}" in ran.stdout
    assert f"{first['reasons'][0]['contribution']:+.2f} [bold]Payments[/bold] late" in ran.stdout
    assert " 2 " in ran.stdout
    assert " 3 " not in ran.stdout
    assert "90000" not in ran.stdout


def test_own_column_names_come_by_mapping(files):
    model, dictionary, rows = files
    plain = run(*files, "--view", "bank", "--json").stdout
    rows.write_text(TABLE.replace("status", "ARREARS"))
    mapping = rows.with_name("mapping.yaml")
    mapping.write_text(
        "features: {age: {column: age}, status: {column: ARREARS}, bill: {column: bill}}\ntarget: {column: bad}\n"
    )
    assert run(model, dictionary, rows, "--view", "bank", "--mapping", mapping, "--json").stdout == plain
    assert isinstance(run(*files, "--view", "bank").exception, DataError)
    mapping.write_text("features: {age: {column: age}}\ntarget: {column: bad}\n")
    refused = run(*files, "--view", "bank", "--mapping", mapping).exception
    assert isinstance(refused, DictionaryError)
    assert "status: no column is mapped to it" in str(refused)


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "is not JSON"), ("[]", "holds no model"), ('{"family": "forest"}', "cannot be explained")],
)
def test_what_is_no_model_is_one_sentence(files, text, match):
    files[0].write_text(text)
    fault = run(*files, "--view", "bank").exception
    assert isinstance(fault, ConfigError)
    assert match in str(fault)


def test_it_is_a_command_of_fedcredit(files, cli):
    assert json.loads(cli("explain", *files, "--view", "bank", "--json").out)["unit"] == "log-odds of bad"
    refused = cli("explain", *files, "--view", "x")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: dictionary 'tiny' has no institution type 'x'")


def test_missing_files_and_types_are_one_sentence(files):
    model, dictionary, rows = files
    assert "cannot read the model" in str(run(model.with_name("none"), dictionary, rows, "--view", "bank").exception)
    assert "no institution type 'x'" in str(run(*files, "--view", "x").exception)
    assert run(*files).exit_code == 2
