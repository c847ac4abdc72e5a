"""PLAN.yaml: what it may ask, and what a mistake in it is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fedcredit.errors import ConfigError
from fedcredit.plan import Placement
from fedcredit.planning import BudgetShares
from server.plan_file import load_plan_file

PLAN: dict[str, Any] = {
    "job": "scores-1",
    "purpose": "a joint scorecard",
    "model": {"family": "scorecard", "rounds": 3},
    "privacy": {"epsilon": 3.0},
    "evaluation": {"score_bins": 10},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "PLAN.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    return path


def test_what_is_left_out_is_the_safest_choice(tmp_path: Path) -> None:
    plan = load_plan_file(written(tmp_path))
    terms = plan.terms(1e-6)
    assert (terms.placement, terms.masks, terms.delta, terms.min_owners) == (Placement.DISTRIBUTED, True, 1e-6, 3)
    assert plan.budget_shares() == BudgetShares()
    assert plan.evaluation.groupings == ("type",)


def test_a_delta_that_is_given_is_kept(tmp_path: Path) -> None:
    plan = load_plan_file(written(tmp_path, privacy={"epsilon": 3.0, "delta": 1e-9}))
    assert plan.terms(1e-6).delta == 1e-9


def test_without_noise_there_is_no_delta(tmp_path: Path) -> None:
    plan = load_plan_file(written(tmp_path, privacy={"placement": "none"}))
    assert plan.terms(1e-6).delta is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"job": "No Spaces"}, "job: "),
        ({"jobs": 1}, "jobs: is not a known key"),
        (
            {"privacy": {"placement": "central", "epsilon": 1.0}},
            "privacy · placement: central noise is for simulations",
        ),
        ({"privacy": {"epsilon": 1.0, "reserve_percent": 9}}, "reserve_percent: is not a known key"),
        ({"quorum": 0}, "quorum: "),
        ({"evaluation": {}}, "evaluation · score_bins: is missing"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"PLAN\.yaml") as caught:
        load_plan_file(written(tmp_path, **changes))
    assert said in str(caught.value)


def test_noise_without_epsilon_is_refused(tmp_path: Path) -> None:
    plan = load_plan_file(written(tmp_path, privacy={}))
    with pytest.raises(ConfigError, match="epsilon and delta must both be given"):
        plan.terms(1e-6)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        load_plan_file(tmp_path / "PLAN.yaml")
