import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fedcredit.cli.dictionary import app
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError, DataError, DictionaryError


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "uci.parquet"
    pq.write_table(load_uci().slice(0, 2000), path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_draft_then_check(table, tmp_path):
    out = tmp_path / "d.yaml"
    drafted = run("draft", table, "--from-data", "--out", out)
    assert (drafted.exit_code, drafted.stdout) == (0, "")
    assert load_dictionary(out).feature_names == uci_dictionary().feature_names
    checked = run("check", out, table)
    assert checked.exit_code == 0
    assert "0 problems" in checked.stdout


def test_draft_prints_and_never_overwrites(table, tmp_path):
    printed = run("draft", table)
    assert printed.exit_code == 0
    assert "range:   # REQUIRED" in printed.stdout
    (tmp_path / "d.yaml").write_text("mine")
    again = run("draft", table, "--out", tmp_path / "d.yaml")
    assert isinstance(again.exception, ConfigError)
    assert "exists already" in str(again.exception)
    assert (tmp_path / "d.yaml").read_text() == "mine"


def test_check_lists_every_problem_and_exits_with_1(table, tmp_path):
    out = tmp_path / "d.yaml"
    run("draft", table, "--from-data", "--out", out)
    broken = tmp_path / "broken.parquet"
    pq.write_table(load_uci().slice(0, 2000).drop_columns(["age", "sex"]), broken)
    checked = run("check", out, broken, "--unit", "person", "--cap", "2")
    assert checked.exit_code == 1
    assert "the column 'age' is missing" in checked.stdout
    assert "the column 'sex' is missing" in checked.stdout
    assert "2 problems" in checked.stdout


def test_check_needs_a_type_where_there_are_several(table, tmp_path):
    text = tmp_path / "d.yaml"
    run("draft", table, "--from-data", "--out", text)
    two = text.read_text().replace(
        "institution_types:\n",
        "institution_types:\n  shop: {owns: [applicant], target: {name: default, definition: d}}\n",
    )
    text.write_text(two)
    assert "set --kind to one of: shop, bank" in str(run("check", text, table).exception)
    assert run("check", text, table, "--kind", "bank").exit_code == 0
    assert isinstance(run("check", text, table, "--kind", "x").exception, DictionaryError)


def test_a_missing_table_is_one_sentence(table, tmp_path):
    out = tmp_path / "d.yaml"
    run("draft", table, "--from-data", "--out", out)
    checked = run("check", out, tmp_path / "none.csv")
    assert checked.exit_code == 1
    assert "there is no file" in checked.stdout
    assert isinstance(run("draft", tmp_path / "none.csv").exception, DataError)


def test_changed_names_come_with_a_mapping(tmp_path):
    path, out, mapping = tmp_path / "t.csv", tmp_path / "d.yaml", tmp_path / "m.yaml"
    path.write_text("ID,Amount,Default\n" + "".join(f"{i},{i * 7},{i % 2}\n" for i in range(50)))
    assert "--mapping-out" in run("draft", path, "--from-data").stderr
    assert run("draft", path, "--from-data", "--out", out, "--mapping-out", mapping).exit_code == 0
    assert run("check", out, path, "--mapping", mapping).exit_code == 0
    assert run("check", out, path).exit_code == 1
