"""How runs of a sweep become points of its table and rows of its file."""

import csv

from simulations.results import RunResult
from simulations.sweep import points_of, write_csv


def settings(epsilon: str, seed: str) -> dict[str, str]:
    return {"privacy.delta": "1e-5", "privacy.epsilon": epsilon, "seed": seed, "noise.seed": seed}


def test_runs_that_differ_in_a_seed_are_one_point(run_result: RunResult) -> None:
    runs = [(settings(epsilon, seed), run_result) for epsilon in ("0.5", "1") for seed in ("0", "1", "2")]
    points = points_of(runs)
    assert [(dict(point.settings), len(point.runs)) for point in points] == [
        ({"privacy.epsilon": "0.5"}, 3),
        ({"privacy.epsilon": "1"}, 3),
    ]


def test_a_setting_that_one_run_lacks_is_varied(run_result: RunResult) -> None:
    points = points_of([({"privacy": "none"}, run_result), ({"privacy.epsilon": "1"}, run_result)])
    assert [dict(point.settings) for point in points] == [{"privacy": "none"}, {"privacy.epsilon": "1"}]


def test_the_file_has_a_row_per_run_and_all_settings(run_result: RunResult, tmp_path) -> None:
    runs = [(settings("1", seed), run_result) for seed in ("0", "1")]
    write_csv(tmp_path / "sweep.csv", [*runs, ({"privacy": "none"}, run_result)])
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1", ""]
    assert [row["privacy.delta"] for row in rows] == ["1e-5", "1e-5", ""]
    assert {float(row["models.joint.auc"]) for row in rows} == {run_result.joint.overall.auc}
    assert {float(row["federated.auc_low"]) for row in rows} == {run_result.federated.auc_low}
