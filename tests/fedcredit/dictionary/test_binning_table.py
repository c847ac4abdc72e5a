"""Binning tables as optbinning writes them."""

import json

import pytest
import yaml

from fedcredit.cli.dictionary_bins import bins
from fedcredit.dictionary.binning_table import grid_yaml, load_binning_table
from fedcredit.dictionary.schema import CategoriesGrid, EdgesGrid
from fedcredit.errors import ConfigError

# `BinningTable.build().to_csv()`: a nameless index, then the columns.
NUMBER = """,Bin,Count,Count (%),Non-event,Event,Event rate,WoE,IV,JS
0,"(-inf, 1.50)",10,0.1,8,2,0.2,0.5,0.02,0.003
1,"[1.50, 30.00)",50,0.5,40,10,0.2,0.1,0.02,0.003
2,"[30.00, inf)",20,0.2,10,10,0.5,-1.1,0.02,0.003
3,Special,0,0.0,0,0,0.0,0.0,0.0,0.0
4,Missing,20,0.2,10,10,0.5,-1.1,0.0,0.0
Totals,,100,1.0,68,32,0.32,,0.06,0.009
"""


def written(tmp_path, text, name="income.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_edges_of_a_number(tmp_path):
    (found,) = load_binning_table(written(tmp_path, NUMBER))
    assert (found.variable, found.edges, found.groups) == ("income", (1.5, 30.0), ())
    assert EdgesGrid(**yaml.safe_load(grid_yaml(found))["grid"]).edges == (1.5, 30.0)


def test_codes_of_a_category_in_every_spelling(tmp_path):
    rows = ("""home,0,"['own' 'mortgage: yes']",1""", """home,1,"['rent', ""o'clock""]",2""", "n,0,[1 2],3")
    text = "\n".join(("Variable,Bin id,Bin,Points", *rows))
    home, n = load_binning_table(written(tmp_path, text))
    assert home.groups == (("own", "mortgage: yes"), ("rent", "o'clock"))
    assert n.groups == (("1", "2"),)
    assert tuple(CategoriesGrid(**yaml.safe_load(grid_yaml(home))["grid"]).codes) == (
        *("own", "mortgage: yes", "rent", "o'clock"),
    )


@pytest.mark.parametrize("orient", ["records", "columns"])
def test_json_of_pandas(tmp_path, orient):
    bins = ["(-inf, 2.00)", "[2.00, inf)", "Special", None]
    document = [{"Bin": label} for label in bins] if orient == "records" else {"Bin": dict(enumerate(bins))}
    (found,) = load_binning_table(written(tmp_path, json.dumps(document), "x.json"))
    assert found.edges == (2.0,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column Bin"),
        ("Bin\nSpecial\n", "holds no bins"),
        ('Bin\n"(-inf, 1.0)"\n"[2.0, inf)"\n', "do not join"),
        ('Bin\n"(-inf, 0.00)"\n"[0.00, 0.00)"\n"[0.00, inf)"\n', "no edges that increase"),
        ("Bin\nyoung\n", "'young' of t is neither"),
        ("Bin\n['a' 'b']\n['b']\n", "a code in two bins"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load_binning_table(written(tmp_path, text, "t.csv"))


def test_a_name_cannot_write_yaml_of_its_own(tmp_path):
    text = 'Variable,Bin\n"x\ngrid: {kind: integers}\n#","(-inf, 1.0)"\n"x\ngrid: {kind: integers}\n#","[1.0, inf)"\n'
    (found,) = load_binning_table(written(tmp_path, text))
    assert yaml.safe_load(grid_yaml(found)) == {"grid": {"kind": "edges", "edges": [1]}}


def test_the_command_prints_the_grids(tmp_path, capsys):
    path = written(tmp_path, NUMBER)
    bins(path)
    assert capsys.readouterr().out == "# income\ngrid: {kind: edges, edges: [1.5, 30]}\n"
    with pytest.raises(ConfigError, match="no variable 'age'"):
        bins(path, variable="age")
