"""What a finished job releases, as files: every figure here is arithmetic on charged, released sums."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation.summary import FederatedMetrics, evaluate_release
from fedcredit.job.progress import Progress, noise_variance, scored_model
from fedcredit.models.family import family_of
from fedcredit.models.module_tensors import weight_files
from fedcredit.plan import Plan
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.messages import Role
from server.coordinator import Coordinator


def federated_metrics(plan: Plan, dictionary: DataDictionary, progress: Progress) -> FederatedMetrics | None:
    """Released estimates over all institutions, or None before phase evaluate."""
    if progress.evaluation is None:
        return None
    grid = scored_model(plan, progress).grid(plan.evaluation)
    variance = noise_variance(plan, dictionary, Role.EVALUATE, progress.members)
    by_type = progress.evaluation["type"]
    per_group = np.sqrt(variance[: by_type.size].reshape(by_type.shape)[:, 0, 0]) / plan.phases.evaluate.scale
    return evaluate_release(by_type, grid, [float(stddev) for stddev in per_group])


def release_files(coordinator: Coordinator) -> dict[str, bytes]:
    """Name and content of every released file."""
    plan, progress = coordinator.plan, coordinator.progress
    released = family_of(plan.model.family).release(progress.state)
    metrics = federated_metrics(plan, coordinator.dictionary, progress)
    files = {
        "plan.json": plan.to_bytes(),
        "model.json": canonical_json(released),
        **weight_files(released),
        "evaluation.json": _pretty(asdict(metrics) if metrics is not None else {}),
        "job.json": _pretty({**job_summary(plan, progress), "receipts": sorted(coordinator.receipts())}),
    }
    for name, receipt in coordinator.receipts().items():
        files[f"receipts/{name}.json"] = receipt.statement
    return files


def job_summary(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Who took part to the end, and whether anything that was planned was not done."""
    return {
        "job": plan.job,
        "institutions": list(progress.members),
        "left_out": [name for name in plan.members if name not in progress.members],
        "rounds_planned": plan.phases.train.rounds,
        "rounds_trained": progress.rounds_trained,
        "evaluated": progress.evaluation is not None,
        "placement": plan.privacy.placement.value,
        "masks": plan.privacy.masks,
        "colluders": plan.privacy.colluders,
    }


def _pretty(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
