"""What a finished job releases, as files: every figure here is arithmetic on charged, released sums.

The coordinator writes these files, and whoever verifies the job computes them again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation.summary import FederatedMetrics, evaluate_release
from fedcredit.job.admission import authenticated
from fedcredit.job.progress import Progress
from fedcredit.job.released_counts import ReleasedCounts, released_counts
from fedcredit.models.family import family_of
from fedcredit.models.module_tensors import weight_files
from fedcredit.plan import Plan
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.messages import Receipt


def federated_metrics(plan: Plan, dictionary: DataDictionary, progress: Progress) -> FederatedMetrics | None:
    """Released estimates over all institutions, or None before phase evaluate."""
    return metrics_of(released_counts(plan, dictionary, progress))


def metrics_of(counts: ReleasedCounts) -> FederatedMetrics | None:
    """The same from the released counts."""
    if counts.grid is None:
        return None
    by_type = counts.groupings[0]
    return evaluate_release(by_type.counts, counts.grid, by_type.noise_stddev.tolist())


def released_files(
    plan: Plan, dictionary: DataDictionary, progress: Progress, receipts: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Name and content of every released file.

    Parameters
    ----------
    receipts
        Each institution's signed receipt, as it sent it.

    Raises
    ------
    RefusalError, WireError
        If a receipt is not its institution's.
    """
    released = family_of(plan.model.family).release(progress.state)
    counts = released_counts(plan, dictionary, progress)
    metrics = metrics_of(counts)
    files = {
        "plan.json": plan.to_bytes(),
        "dictionary.yaml": yaml.safe_dump(
            dictionary.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        ).encode(),
        "model.json": canonical_json(released),
        **weight_files(released),
        "counts.json": canonical_json(counts.to_json()),
        "evaluation.json": pretty(asdict(metrics) if metrics is not None else {}),
        "job.json": pretty({**job_summary(plan, progress), "receipts": sorted(receipts)}),
    }
    for name, envelope in receipts.items():
        message = authenticated(plan, name, envelope)
        if isinstance(message, Receipt):
            files[f"receipts/{name}.json"] = message.statement
            files[f"receipts/{name}.envelope"] = envelope
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


def pretty(value: dict[str, Any]) -> bytes:
    """JSON for people to read."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
