"""Sweeps as the command runs them: processes, what is kept, what is not run again, and what ends one."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from fedcredit.errors import JobError
from simulations.command import main
from simulations.simulation import compose_config
from simulations.sweeps.pool import in_processes
from tests import own_table

QUICK = (
    *("++model.rounds=1", "federation.banks=2", "federation.hospitals=1", "privacy.delta=1e-4", "noise.seed=5"),
    *("runtime=cohort", "compare=true"),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return own_table.write(tmp_path_factory.mktemp("own") / "table.parquet", own_table.rows(1000))


@pytest.fixture
def swept(table, tmp_path, monkeypatch, capsys):
    """Run the command into a folder; returns what it printed, and the rows of its table."""

    def run(folder: str, *overrides: str) -> tuple[list[str], list[dict[str, str]]]:
        monkeypatch.chdir(tmp_path)
        arguments = ["-m", *own_table.overrides(table), *QUICK, *overrides, f"run.dir={tmp_path / folder}"]
        monkeypatch.setattr(sys, "argv", ["simulations", *arguments])
        main()
        with (tmp_path / folder / "sweep.csv").open(newline="") as file:
            return capsys.readouterr().out.splitlines(), list(csv.DictReader(file))

    return run


def test_a_sweep_goes_on_where_it_was_and_repeats_itself(swept, tmp_path) -> None:
    printed, rows = swept("a", "privacy.epsilon=4,8", "sweep.workers=2")
    assert printed[0] == "sweep: 2 points, 0 of them finished before"
    assert printed[-1] == f"sweep: {tmp_path / 'a'}"
    assert any(line.startswith("2/2 points in ") for line in printed)
    names = ["NOT_PRIVATE.txt", "institutions.csv", "points", "sweep.csv", "sweep.parquet"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert [row["settings.privacy.epsilon"] for row in rows] == ["4.0", "8.0"]
    assert all(row["alone.bank.auc"] for row in rows)

    points = sorted((tmp_path / "a" / "points").iterdir())
    kept = json.loads(points[0].read_text())
    assert rows[[row["point"] for row in rows].index(points[0].stem)]["joint.bank.auc"] == str(
        kept["result"]["models"]["joint"]["by_view"]["bank"]["auc"]
    )
    untouched = {path: path.stat().st_mtime_ns for path in points[1:]}
    points[0].unlink()
    printed, again = swept("a", "privacy.epsilon=4,8", "sweep.workers=1")
    assert printed[0] == "sweep: 2 points, 1 of them finished before"
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    timed = ("run.seconds", "run.cpu_seconds")
    assert [{k: v for k, v in row.items() if k not in timed} for row in again] == [
        {k: v for k, v in row.items() if k not in timed} for row in rows
    ]


def test_a_killed_process_ends_the_sweep_in_one_sentence(table) -> None:
    config = compose_config([*own_table.overrides(table), *QUICK])
    # The second point is long enough to be at work when its process is killed.
    long = compose_config([*own_table.overrides(table), *QUICK, "++model.rounds=200", "runtime=in_process"])
    answers = in_processes([config, long], 1)
    _, first = next(answers)
    os.kill(int(json.loads(first.finished)["worker"].rpartition(":")[2]), signal.SIGKILL)
    with pytest.raises(JobError, match="finished points are kept"):
        next(answers)
