"""What the model families reach on the packaged table: ``python -m benches.utility [--splits N] [--draws M]``.

Five institutions that own all columns, split by scikit-learn's stratified split, seed 0 upwards; δ = 1e-5; test AUC,
mean and standard deviation over all runs. A run without noise is made once per split, one with noise M times with new
noise. The perceptron's settings are those of ``configs/experiment/uci_mlp*.yaml``; the other families have theirs from
``configs/model``.

The yardstick is the explainable boosting machine of interpret (extra ``bench``), pooled at one place: without noise and
without interactions on the raw columns, and differentially private on the same public grid cells that the other rows
read, and on the raw columns within the dictionary's public ranges. Its ε pays for training alone; ours also pays for
the evaluation and a retry.

References
----------
Nori, Caruana, Bu, Shen, Kulkarni, "Accuracy, Interpretability, and Differential Privacy via Explainable Boosting", ICML
2021, arXiv 2106.09680.
"""

import os

# Before NumPy is imported: one thread, so that a run leaves the machine to others.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fedcredit.data.uci import load_uci
from fedcredit.dictionary.schema import DataDictionary
from simulations.comparisons import ALL_COLUMNS, run_pooled, score_outcome
from simulations.dataset import DataSpec, load
from simulations.federation import run_in_process
from simulations.partition import PooledTable, train_and_test
from simulations.run import prepare
from simulations.settings import Settings, read_settings
from simulations.simulation import compose_config

try:
    from interpret.glassbox import ExplainableBoostingClassifier
    from interpret.privacy import DPExplainableBoostingClassifier
except ImportError:  # the yardstick is optional
    ExplainableBoostingClassifier = DPExplainableBoostingClassifier = None

FLAT = ("data=uci_credit_flat", "federation.banks=5", "federation.hospitals=0")
DELTA = 1e-5
EXACT = ("privacy=none",)
LOCAL = ("privacy=local", "privacy.epsilon=4", f"privacy.delta={DELTA}")
BINNED = ("additive", "scorecard")
Work = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what runs under which promise, and the work that gives one split's AUC."""

    model: str
    privacy: str
    noisy: bool
    work: Work


@cache
def table() -> tuple[DataDictionary, PooledTable]:
    """The packaged table, quantised once."""
    return load(DataSpec("uci_credit_flat"))


def federated(overrides: Sequence[str], split: int) -> float:
    """Test AUC of a joint model."""
    dictionary, pooled = table()
    _, test = train_and_test(pooled, split)
    ready = prepare(settings_of(overrides, split), dictionary, pooled, time.monotonic())
    outcome = run_in_process(ready.federation, ready.settings.job)
    return auc(test, score_outcome(dictionary, outcome, pooled, test)[ALL_COLUMNS].pd)


def at_one_place(overrides: Sequence[str], split: int) -> float:
    """Test AUC of the same model on all training rows, without privacy."""
    train, test = train_and_test(table()[1], split)
    return auc(test, run_pooled(*table(), train, test, ALL_COLUMNS, settings_of(overrides, split).job)[1].pd)


def settings_of(overrides: Sequence[str], split: int) -> Settings:
    """Checked settings of a job of the five institutions."""
    return read_settings(compose_config([*overrides, *FLAT, f"seed={split}"]), table()[1].bad.size)


def auc(test: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve on the test rows."""
    return float(roc_auc_score(table()[1].bad[test], scores))


def boosted(split: int) -> float:
    """Test AUC of an explainable boosting machine without noise and without interactions, on the raw columns."""
    model = ExplainableBoostingClassifier(interactions=0, n_jobs=1, random_state=split)
    return _fitted_auc(model, raw_columns(), split)


def boosted_in_private(epsilon: float, split: int, *, raw: bool) -> float:
    """Test AUC of a differentially private one with public bounds; noise from the operating system."""
    dictionary, pooled = table()
    bounds = [one.range if raw and one.range else (0, one.n_cells - 1) for one in dictionary.features]
    model = DPExplainableBoostingClassifier(
        feature_types=["nominal" if one.codes else "continuous" for one in dictionary.features],
        privacy_bounds=np.array(bounds, dtype=np.float64),
        epsilon=epsilon,
        delta=DELTA,
        n_jobs=1,
    )
    return _fitted_auc(model, raw_columns() if raw else pooled.cells.astype(np.float64), split)


def raw_columns() -> NDArray[np.float64]:
    """The packaged table's features as they are, in the dictionary's order."""
    columns = load_uci().select(list(table()[0].feature_names)).columns
    return np.column_stack([column.to_numpy() for column in columns]).astype(np.float64)


def _fitted_auc(model: Any, columns: NDArray[np.float64], split: int) -> float:  # noqa: ANN401  (it ships no types)
    train, test = train_and_test(table()[1], split)
    return auc(test, model.fit(columns[train], table()[1].bad[train]).predict_proba(columns[test])[:, 1])


def shared(epsilon: float) -> tuple[str, ...]:
    """Noise shares of that ε."""
    return "privacy=distributed", f"privacy.epsilon={epsilon}", f"privacy.delta={DELTA}"


def our_rows() -> list[Row]:
    """The families of this package."""

    def row(model: str, privacy: str, *overrides: str) -> Row:
        return Row(model, privacy, privacy != "none", partial(federated, overrides))

    return [
        Row("mlp, pooled", "none", False, partial(at_one_place, ("experiment=uci_mlp_exact",))),
        row("mlp", "none", "experiment=uci_mlp_exact"),
        *(row(model, "none", f"model={model}", *EXACT) for model in BINNED),
        row("mlp, K steps", "local, ε = 4", "experiment=uci_mlp_local", f"privacy.delta={DELTA}"),
        row("mlp, K = 1", "local, ε = 4", "experiment=uci_mlp", *LOCAL),
        *(row(model, "local, ε = 4", f"model={model}", *LOCAL) for model in BINNED),
        row("mlp, K = 1", "distributed, ε = 1", "experiment=uci_mlp", *shared(1)),
        *(row(model, "distributed, ε = 1", f"model={model}", *shared(1)) for model in BINNED),
        *(row("scorecard", f"distributed, ε = {one}", "model=scorecard", *shared(one)) for one in (4, 2, 0.5)),
    ]


def their_rows() -> list[Row]:
    """The yardstick; nothing where interpret is not installed."""
    if ExplainableBoostingClassifier is None:
        print("`pip install interpret-core` adds the rows of the explainable boosting machine.")
        return []
    return [
        Row("EBM, pooled", "none", False, boosted),
        *(
            Row(f"DP-EBM, {name}", f"one place, ε = {epsilon}", True, partial(boosted_in_private, epsilon, raw=raw))
            for epsilon in (4, 2, 1, 0.5)
            for name, raw in (("grid cells", False), ("raw columns", True))
        ),
    ]


def figures(row: Row, splits: int, draws: int) -> dict[str, Any]:
    """Run one row: test AUC over all splits and draws."""
    started = time.monotonic()
    values = [row.work(split) for split in range(splits) for _ in range(draws if row.noisy else 1)]
    return {
        "model": row.model,
        "privacy": row.privacy,
        "mean": statistics.mean(values),
        "stddev": statistics.stdev(values) if len(values) > 1 else 0.0,
        "runs": len(values),
        "seconds": time.monotonic() - started,
        "auc": values,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Test AUC of the model families on the packaged table.")
    parser.add_argument("--splits", type=int, default=5, help="splits of the table")
    parser.add_argument("--draws", type=int, default=3, help="draws of the noise per split")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose model's name begins so")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    asked = parser.parse_args()
    done = []
    print(f"{'model':22}{'privacy':22}{'AUC':>8}{'stddev':>9}{'runs':>6}{'seconds':>9}")
    for row in (row for row in (*our_rows(), *their_rows()) if row.model.startswith(asked.only)):
        done.append(figures(row, asked.splits, asked.draws))
        print("{model:22}{privacy:22}{mean:8.4f}{stddev:9.4f}{runs:6}{seconds:9.1f}".format(**done[-1]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(done, indent=2) + "\n")


if __name__ == "__main__":
    main()
