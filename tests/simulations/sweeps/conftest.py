"""Made-up points of a sweep: figures that follow a known rule, in the shape that real runs have."""

import copy
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulations.results import Metrics, ModelResult, RunResult
from simulations.simulation import compose_config
from simulations.sweeps.point import FinishedPoint, point_of, settings_of
from simulations.sweeps.store import SweepFolder

MakeSweep = Callable[..., Path]
LOSS = {"distributed": 0.004, "local": 0.03, "central": 0.003, "none": 0.0}


def model(auc: float, *views: str) -> ModelResult:
    one = Metrics(auc, auc - 0.35, 0.14, 6000)
    return ModelResult(one, dict.fromkeys(views, one))


@pytest.fixture(scope="session")
def composed() -> dict[str, Any]:
    return compose_config(["privacy=local", "privacy.epsilon=1", "federation.banks=2", "federation.hospitals=1"])


def varied(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    tree = copy.deepcopy(config)
    for name, value in settings.items():
        branch, *keys = name.split(".")
        *above, last = [branch, *keys]
        here = tree
        for key in above:
            here = here[key]
        here[last] = value
    return tree


def finished(config: dict[str, Any], result: RunResult, *, compare: bool = True) -> FinishedPoint:
    """AUC falls with noise and unevenness, rises with the number of institutions and a little with the seed."""
    privacy, federation = config["privacy"], config["federation"]
    banks, hospitals = federation["banks"], federation["hospitals"]
    names = [f"bank-{i + 1}" for i in range(banks)] + [f"hospital-{i + 1}" for i in range(hospitals)]
    uneven = 0.01 / federation["alpha"] ** 0.5 if federation["split"] == "dirichlet" else 0.0
    seed = 0.001 * config["seed"]
    loss = LOSS[privacy["placement"]] / (privacy["epsilon"] or 1.0) ** 0.5
    top = {"bank": 0.772, "hospital": 0.67}
    joint = {kind: model(top[kind] - loss - uneven + seed, kind).overall for kind in top}
    alone = {
        name: model(top[kind] - 0.004 - 0.0015 * i - 2 * uneven + seed, kind)
        for i, name in enumerate(names)
        for kind in [name.partition("-")[0]]
    }
    own = replace(
        result,
        joint=ModelResult(joint["bank"], {**joint, "all": joint["bank"]}),
        same_type=ModelResult(joint["bank"], joint) if compare else ModelResult(Metrics(None, None, None, 0), {}),
        pooled=ModelResult(
            joint["bank"], {kind: model(top[kind] + seed, kind).overall for kind in top} if compare else {}
        ),
        alone=alone if compare else {},
        privacy=dict.fromkeys(names, result.privacy["bank-1"]),
        epsilon_joint={},
        placement=privacy["placement"],
    )
    kinds = {name: name.partition("-")[0] for name in names}
    made_of = point_of(0, config).made_of
    return FinishedPoint(
        settings_of(config), kinds, dict.fromkeys(names, 5000), own, 1.5, "here:1", made_of, 20, 20, len(names)
    )


@pytest.fixture
def make_sweep(composed, run_result, tmp_path) -> MakeSweep:
    """Write the product of some settings' values as finished points, or each of some dictionaries."""

    def make(chosen: dict[str, list[Any]] | Iterable[dict[str, Any]], *, compare: bool = True) -> Path:
        if isinstance(chosen, dict):
            chosen = [dict(zip(chosen, values, strict=True)) for values in itertools.product(*chosen.values())]
        folder = SweepFolder(tmp_path / "sweep")
        for number, settings in enumerate(chosen):
            config = varied(composed, settings)
            folder.write(point_of(number, config), finished(config, run_result, compare=compare).to_json())
        return folder.path

    return make
