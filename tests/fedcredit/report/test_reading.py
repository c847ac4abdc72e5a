"""From folder to inputs: either kind of folder, and what is wrong with a third."""

import shutil
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.report.inputs import Assumptions
from fedcredit.report.reading import read_inputs


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("ledgers")))


def test_run_folder_and_released_folder_say_the_same(folder: Path) -> None:
    whole, part = (read_inputs(place, Assumptions()) for place in (folder, folder / "released"))
    assert whole.hashes == part.hashes
    assert whole.job == part.job
    assert set(whole.hashes) >= {"plan.json", "model.json", "counts.json", "roster.yaml", "receipts/bank-1.envelope"}


def test_a_stamp_beside_either_folder_marks_a_simulation(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    assert not read_inputs(run, Assumptions()).simulated
    (run / "NOT_PRIVATE.txt").write_text("stamped")
    (run / "config.yaml").write_text("privacy: {epsilon: 1}\nrun: {dir: secret}\n")
    assert read_inputs(run / "released", Assumptions()).simulated
    assert read_inputs(run, Assumptions()).settings == {"privacy.epsilon": "1"}


def test_outputs_put_into_the_folder_are_not_hashed(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    (run / "released" / "report.html").write_text("page")
    assert "report.html" not in read_inputs(run, Assumptions()).hashes


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("counts.json", None, "holds no counts.json"),
        ("counts.json", "{}", "not a job's released counts"),
        ("counts.json", '{"version": 9}', "version 9"),
        ("model.json", "[1]", "no JSON object"),
        ("job.json", "{", "not JSON"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_sentence(
    folder: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    run = copied(folder, tmp_path)
    place = run / "released" / name
    place.unlink() if content is None else place.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_inputs(run, Assumptions())


def test_a_dictionary_of_another_plan_is_refused(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    place = run / "released" / "dictionary.yaml"
    place.write_text(place.read_text().replace("made up", "invented"))
    with pytest.raises(ConfigError, match="not the dictionary"):
        read_inputs(run, Assumptions())
