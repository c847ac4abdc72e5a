"""A finished point as tidy rows: settings and figures of the run, and what each institution has of it.

Columns of a run: ``point``; ``settings.<key>`` for every resolved setting; ``<model>.<view>.<figure>`` for joint, same
type, pooled, and client_level where it was run; ``alone.<type>.auc`` and ``gain.<type>.auc``, means over the
institutions of a type; ``released.*``; ``epsilon.*``, the largest over the institutions; ``run.*``.
"""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from simulations.results import ModelResult, RunResult
from simulations.sweeps.point import FinishedPoint
from simulations.tables import largest

Cell = str | int | float | bool | None
_EPSILONS = {
    "planned": "epsilon_planned",
    "spent": "epsilon_spent",
    "outsiders": "epsilon_outsider",
    "coordinator_and_t": "epsilon_t",
    "coordinator_and_all_others": "epsilon_all_others",
}


def row_of(name: str, point: FinishedPoint) -> dict[str, Cell]:
    """One run's row."""
    result = point.result
    own = institution_rows(name, point)
    row: dict[str, Cell] = {"point": name, **flat_settings(point.settings)}
    for label, model in (("joint", result.joint), ("same_type", result.same_type), ("pooled", result.pooled)):
        row |= _figures(label, model)
    if result.client_level is not None:
        row |= _figures("client_level", result.client_level.model)
    for kind in dict.fromkeys(point.kinds.values()):
        of_kind = [one for one in own if one["kind"] == kind]
        row[f"alone.{kind}.auc"] = _mean(one["alone.auc"] for one in of_kind)
        row[f"gain.{kind}.auc"] = _mean(one["gain.auc"] for one in of_kind)
    row |= {f"released.{figure}": value for figure, value in asdict(result.federated).items()}
    return row | _epsilons(result) | _run(point)


def institution_rows(name: str, point: FinishedPoint) -> list[dict[str, Cell]]:
    """One row per institution: AUC on the whole test set with its own columns, alone, with its type, and jointly."""
    result, rows = point.result, []
    for institution, kind in point.kinds.items():
        alone = _auc(result.alone.get(institution), kind)
        same_type, joint = _auc(result.same_type, kind), _auc(result.joint, kind)
        row: dict[str, Cell] = {"point": name, **flat_settings(point.settings)}
        row |= {"institution": institution, "kind": kind, "rows": point.rows[institution]}
        row |= {"alone.auc": alone, "same_type.auc": same_type, "joint.auc": joint, "gain.auc": _gain(joint, alone)}
        row["epsilon.spent"] = result.privacy[institution].epsilon_spent
        rows.append(row)
    return rows


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Cell]:
    """Settings by their dotted keys; a list becomes JSON text."""
    return dict(_flat("settings", settings))


def _flat(prefix: str, tree: Any) -> Iterable[tuple[str, Cell]]:  # noqa: ANN401  (JSON is any)
    if isinstance(tree, Mapping):
        for name, branch in tree.items():
            yield from _flat(f"{prefix}.{name}", branch)
    else:
        yield prefix, json.dumps(tree) if isinstance(tree, list) else tree


def _figures(label: str, model: ModelResult) -> dict[str, Cell]:
    return {
        f"{label}.{view}.{figure}": value
        for view, metrics in model.by_view.items()
        for figure, value in asdict(metrics).items()
        if figure != "n_test"
    }


def _epsilons(result: RunResult) -> dict[str, Cell]:
    statements = list(result.privacy.values())
    columns = {**_EPSILONS, "delta": "delta"}
    return {f"epsilon.{label}": largest(getattr(one, name) for one in statements) for label, name in columns.items()}


def _run(point: FinishedPoint) -> dict[str, Cell]:
    result = point.result
    return {
        "run.institutions": len(point.kinds),
        "run.institutions_left": point.left,
        "run.rounds_trained": point.rounds_trained,
        "run.rounds_planned": point.rounds_planned,
        "run.placement": result.placement,
        "run.noise": result.noise,
        "run.masks": result.masks,
        "run.virtual_seconds": None if result.virtual is None else result.virtual.seconds,
        "run.seconds": result.seconds_total,
        "run.cpu_seconds": point.cpu_seconds,
    }


def _auc(model: ModelResult | None, view: str) -> float | None:
    metrics = model.by_view.get(view) if model else None
    return metrics.auc if metrics else None


def _gain(joint: float | None, alone: float | None) -> float | None:
    return None if joint is None or alone is None else joint - alone


def _mean(values: Iterable[Cell]) -> float | None:
    known = [value for value in values if isinstance(value, float)]
    return statistics.fmean(known) if known else None
