"""What a run leaves behind, as the command writes it: every promised file, under its stable name."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fedcredit.plan import parse_plan
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import holds, verify_run
from simulations.results import RunResult
from simulations.simulation import compose_config
from tests import own_table

ROOT = Path(__file__).resolve().parents[2]
INSTITUTIONS = ("bank-1", "hospital-1")
VIEWS = {"bank", "hospital", "all"}
EXACT = {"auc", "ks", "brier", "n_test"}


@pytest.fixture(scope="module")
def overrides(tmp_path_factory) -> list[str]:
    path = own_table.write(tmp_path_factory.mktemp("own") / "table.parquet", own_table.rows(1000))
    quick = ["++model.rounds=2", "federation.banks=1", "federation.hospitals=1", "privacy.epsilon=8"]
    return [*own_table.overrides(path), *quick]


@pytest.fixture(scope="module")
def printed(overrides, tmp_path_factory) -> list[str]:
    """One run of the command, with all its rivals, into a folder two levels below one that exists."""
    place = tmp_path_factory.mktemp("place") / "new" / "run"
    command = [sys.executable, "-m", "simulations", *overrides, "compare=true", f"run.dir={place}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=place.parents[1], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert [path.name for path in place.parent.iterdir()] == ["run"]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def run(printed) -> Path:
    return Path(printed[-1].removeprefix("run: "))


@pytest.fixture(scope="module")
def metrics(run) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_the_last_line_names_the_folder(printed, run) -> None:
    assert printed[-1].startswith("run: /")
    assert run.is_dir()


def test_phases_and_tables_are_printed(printed) -> None:
    text = "\n".join(printed)
    for phase in ("join", "preflight", "train", "evaluate", "release"):
        assert sum(line.startswith(f"done  {phase}") for line in printed) == 1
    assert "what each institution will spend" in text
    assert text.index("will spend") < text.index("done  join") < text.index("Results") < text.index("run: ")


def test_every_promised_file_is_there(run) -> None:
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    promised = {"NOT_PRIVATE.txt", "config.yaml", "plan.json", "model.json", "points.csv", "metrics.json", "index.html"}
    promised |= {"report.json"}
    promised |= {f"ledgers/{name}.sqlite" for name in INSTITUTIONS}
    assert promised <= files
    drawn = {Path(name).stem for name in files if name.startswith("figures/")}
    assert drawn >= {"weight", "institutions"}  # others need more records than this run has
    assert all((run / name).stat().st_size > 0 for name in promised)


def test_the_folder_says_that_it_is_not_private(run) -> None:
    for folder in (run, run / "released"):  # what was released may be copied by itself, and its noise be seeded
        assert (folder / "NOT_PRIVATE.txt").read_text().startswith("NOT PRIVATE")
    assert "NOT PRIVATE" in (run / "index.html").read_text()


def test_ledgers_are_readable_by_their_owner_only(run) -> None:
    assert {path.stat().st_mode & 0o077 for path in (run / "ledgers").glob("*.sqlite")} == {0}


def test_metrics_have_their_stable_names(metrics) -> None:
    models = metrics["models"]
    assert set(models) == {"joint", "same_type", "pooled", "alone"}
    assert set(models["joint"]) == EXACT | {"by_view"}
    assert set(models["joint"]["by_view"]) == set(models["pooled"]["by_view"]) == VIEWS
    assert set(models["alone"]) == set(metrics["privacy"]) == set(INSTITUTIONS)
    for model in (models["joint"], models["same_type"], models["pooled"], *models["alone"].values()):
        assert set(model) >= EXACT
        assert model["n_test"] == 200
        assert 0 < model["auc"] < 1
    assert set(metrics["federated"]) == {"auc", "auc_low", "auc_high", "ks", "brier"}
    against = {"outsider", "t", "one_colludes", "half_collude", "all_others"}
    numbers = {f"epsilon_{name}" for name in against | {"planned", "spent"}}
    assert all(set(own) == numbers | {"delta", "unit"} for own in metrics["privacy"].values())
    assert metrics["noise"] == "os"
    assert metrics["placement"] == "local"
    assert metrics["masks"] == "off (fewer than 3 institutions)"
    assert 0 < metrics["seconds"]["start"] < metrics["seconds"]["total"]


def test_metrics_read_back_as_the_result(run) -> None:
    text = (run / "metrics.json").read_text()
    assert RunResult.from_json(text).to_json() == text


def test_the_plan_is_the_one_that_was_signed(run, metrics) -> None:
    plan = parse_plan((run / "plan.json").read_bytes())
    assert plan.members == INSTITUTIONS
    assert plan.privacy.epsilon == 8
    planned = max(own["epsilon_planned"] for own in metrics["privacy"].values())
    assert planned == pytest.approx(8, rel=1e-3)


def test_the_config_is_the_whole_tree(run, overrides) -> None:
    tree = yaml.safe_load((run / "config.yaml").read_text())
    assert tree == compose_config([*overrides, "compare=true", f"run.dir={run}"])


def test_model_and_points_are_of_this_dictionary(run) -> None:
    assert json.loads((run / "model.json").read_text())
    with (run / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["feature"] for row in rows} >= {"age", "pay_0", "pay_amt1"}
    assert {"feature", "label", "woe", "iv", "points"} <= set(rows[0])
    assert all(float(row["points"]) == float(row["points"]) for row in rows)


def test_the_run_verifies_and_a_changed_copy_of_the_model_does_not(run, tmp_path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    assert holds(verify_run(find_run(copy, None)))
    (copy / "model.json").write_bytes((copy / "model.json").read_bytes().replace(b"0", b"1", 1))
    assert not holds(verify_run(find_run(copy, None)))
