"""Packages that mean ill, with hashes that hold: what they say of themselves is refused where it is not so."""

import csv
import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.package.contents import HEAD, MODEL, Scale
from fedcredit.package.points_csv import points_csv
from fedcredit.package.storage import checked_package, load_package, write_package
from fedcredit.scoring.card import card_of
from fedcredit.scoring.kernel import TableScorer
from fedcredit.scoring.single import SingleScorer
from tests import packages


def edited(edit):
    model = packages.scorecard(packages.dictionary()).to_json()
    edit({one["name"]: one["bins"] for one in model["features"]})
    return packages.repacked(packages.files(), json.dumps(model).encode())


def swapped_labels(bins):
    first, second = bins["late"][:2]
    first["label"], second["label"] = second["label"], first["label"]


def interleaved(bins):
    """Cells 0 and 2 against 1 and 3, under the words for 0 to 2 and 1 to 3."""
    cells = [cell for one in bins["late"] for cell in one["cells"]]
    keep = dict(bins["late"][0])
    odd, even = [cell for cell in cells if cell % 2], [cell for cell in cells if not cell % 2]
    bins["late"][:] = [{**keep, "cells": sorted(even)}, {**keep, "cells": sorted(odd)}]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (swapped_labels, "late: the bin .* is called otherwise than its cells are"),
        (interleaved, "late: the bin .* joins cells that are no neighbours"),
        (lambda bins: bins["age"][0].update(good=1e300), r"age: the bin .* has a count beyond ±2\^53"),
        (lambda bins: bins["age"][0].update(label="=cmd()"), "age: the bin '=cmd"),
    ],
    ids=["labels that lie", "bins that lie", "counts without end", "a formula"],
)
def test_a_table_that_says_other_than_it_does_is_refused(edit, said):
    with pytest.raises(ConfigError, match=said):
        checked_package(edited(edit), "p")


def with_scale(**scale):
    files = packages.files()
    head = json.loads(files[HEAD])
    head["scale"] |= scale
    return {**files, HEAD: json.dumps(head).encode()}


@pytest.mark.parametrize("scale", [{"points_to_double_odds": 1e9}, {"base_score": 3e9}, {"base_odds": 1e300}])
def test_a_scale_whose_points_leave_their_32_bits_is_refused(scale):
    with pytest.raises(ConfigError, match=next(iter(scale))):
        checked_package(with_scale(**scale), "p")


def test_at_the_ends_of_the_scale_a_table_and_one_customer_score_alike():
    """The kernel packs weights and points into one integer: points that overflowed would change probabilities."""
    widest = Scale(base_score=-1_000_000, base_odds=1e9, points_to_double_odds=10_000)
    card = card_of(checked_package(with_scale(**widest.model_dump()), "p"), "bank")
    values = {"age": [19.0, 70.0], "home": ["own", "rent"], "bill": [1e5, 0.0], "late": [8.0, -2.0], "same": [0.1, 0.9]}
    single = [SingleScorer(card).score({name: column[n] for name, column in values.items()}) for n in range(2)]
    columns = [
        np.array([one.feature.codes.index(value) for value in values[one.feature.name]], dtype=np.uint16)
        if one.feature.range is None
        else np.array(values[one.feature.name])
        for one in card.features
    ]
    table = TableScorer(card).score(columns, 2)
    assert table.margins.tolist() == [one.margin for one in single]
    assert table.points.tolist() == [one.points for one in single]
    assert max(map(abs, table.points.tolist())) > 2**15


def test_a_pipe_or_a_device_in_a_folder_is_not_waited_for(tmp_path):
    write_package(packages.files(), tmp_path / "p")
    (tmp_path / "p" / MODEL).unlink()
    os.mkfifo(tmp_path / "p" / MODEL)
    with pytest.raises(ConfigError, match=r"model\.json cannot be read \(it is no plain file\)"):
        load_package(tmp_path / "p")
    (tmp_path / "p" / MODEL).unlink()
    (tmp_path / "p" / MODEL).symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="no plain file"):
        load_package(tmp_path / "p")


def test_a_huge_file_is_not_read_to_its_end(tmp_path):
    write_package(packages.files(), tmp_path / "p")
    os.truncate(tmp_path / "p" / MODEL, 2**40)
    with pytest.raises(ConfigError, match="longer than 16777216 bytes"):
        load_package(tmp_path / "p")
    (tmp_path / "p.zip").touch()
    os.truncate(tmp_path / "p.zip", 2**40)
    with pytest.raises(ConfigError, match="longer than 50397184 bytes"):
        load_package(tmp_path / "p.zip")


def test_names_that_lead_elsewhere_are_not_followed(tmp_path):
    write_package(packages.files(), tmp_path / "p.zip")
    with zipfile.ZipFile(tmp_path / "p.zip", "a") as archive:
        archive.writestr("../../evil.json", "{}")
        archive.writestr("/tmp/evil.json", "{}")
    assert load_package(tmp_path / "p.zip").digest == packages.package().digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.zip"]


def test_a_damaged_stream_is_a_sentence(tmp_path):
    write_package(packages.files(), tmp_path / "p.zip")
    content = bytearray((tmp_path / "p.zip").read_bytes())
    content[60:90] = b"\xff" * 30
    (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(ConfigError, match="is no model package"):
        load_package(tmp_path / "p.zip")


WORDS = ["=1+cmd|' /C calc'!A0", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "+1", "-2 to < 3", "-1,000 or less", "-2"]


@pytest.mark.parametrize("word", WORDS)
def test_a_spreadsheet_takes_no_label_for_a_formula(word):
    document = packages.dictionary().model_dump(mode="json")
    home = next(one for one in document["features"] if one["name"] == "home")
    home["grid"]["codes"] = dict.fromkeys(home["grid"]["codes"], word)
    contract = DataDictionary.model_validate(document)
    model = packages.scorecard(contract)
    package = replace(packages.package(), model=model, dictionary=contract)
    labels = [row["Bin"] for row in csv.DictReader(io.StringIO(points_csv(package))) if row["Variable"] == "home"]
    harmless = word.startswith(("-2", "-1,"))
    assert any(word in label for label in labels)
    assert all(
        label.startswith("'") != harmless for label in labels if word in label and not label.startswith("missing")
    )


def test_a_package_writes_no_control_characters_on_a_validators_terminal(cli, tmp_path):
    """Such as those that go up a line and overwrite "NOT PRIVATE"."""
    files = packages.files()
    head = {**json.loads(files[HEAD]), "purpose": "cards\x1b[8A\x1b[2K\u202e", "job": "j\r"}
    write_package({**files, HEAD: json.dumps(head).encode()}, tmp_path / "p")
    shown = cli("model", "show", tmp_path / "p").out
    assert "cards" in shown
    assert not {"\x1b", "\r", "\u202e"} & set(shown)
