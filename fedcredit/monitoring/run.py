"""A monitoring run and the training run that it is about, read from their released files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.job.released_counts import ReleasedCounts, parse_counts
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.monitoring.draft import monitor_spec
from fedcredit.monitoring.figures import (
    Monitored,
    approval_ratios,
    calibration,
    feature_drift,
    proposals,
    score_counts,
    score_drift,
    trained_scores,
)
from fedcredit.plan import Plan, parse_plan
from fedcredit.verify.checks import Result
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import verify_run
from fedcredit.wire.canonical import parse_json


@dataclass(frozen=True, slots=True)
class ReleasedRun:
    """What a finished job left.

    Attributes
    ----------
    summary
        ``job.json``: who took part to the end, and whether everything planned was done.
    model
        ``model.json``.
    """

    plan: Plan
    dictionary: DataDictionary
    counts: ReleasedCounts
    summary: dict[str, Any]
    model: dict[str, Any]


def read_released(run: Path) -> ReleasedRun:
    """Read a run's released files; whether they follow from signed messages is for ``fedcredit verify``.

    Raises
    ------
    ConfigError
        If one is missing or is none of ours.
    """
    files = find_run(run, None)

    def content(name: str) -> bytes:
        data = files.read(name)
        if data is None:
            raise ConfigError(f"{files.released} holds no {name}; its job is not over, or of an earlier version.")
        return data

    try:
        summary, model = parse_json(content("job.json")), parse_json(content("model.json"))
    except ValueError as error:
        raise ConfigError(f"{files.released}: job.json or model.json is no JSON of ours ({error}).") from error
    return ReleasedRun(
        plan=parse_plan(content("plan.json")),
        dictionary=parse_dictionary(content("dictionary.yaml"), f"{files.released}/dictionary.yaml"),
        counts=parse_counts(content("counts.json")),
        summary=summary,
        model=model,
    )


def monitored(trained: ReleasedRun, new: ReleasedRun, cut_off_pd: float | None) -> Monitored:
    """All figures of a monitoring run.

    Parameters
    ----------
    cut_off_pd
        PD from which on applicants are declined; without one no approval ratio is judged.

    Raises
    ------
    ConfigError
        If the run watches no model, another run's, or under another dictionary.
    """
    spec = new.plan.model
    if not isinstance(spec, MonitorSpec):
        raise ConfigError(f"job {new.plan.job} trained a model and watched none; name a monitoring job's run.")
    if spec.trained_by != trained.plan.digest().hex() or new.plan.dictionary != trained.plan.dictionary:
        raise ConfigError(f"job {new.plan.job} watches another model than that of job {trained.plan.job}.")
    scores = score_counts(new.model)
    fitted, in_the_large = calibration(scores)
    ratios, few = ({}, ()) if cut_off_pd is None else approval_ratios(new.dictionary, new.counts, cut_off_pd)
    stayed = set(new.summary["institutions"])
    return Monitored(
        scores=score_drift(trained_scores(trained.counts), scores),
        features=feature_drift(trained.counts, new.counts),
        recalibration=fitted,
        proposals=proposals(scores),
        in_the_large=in_the_large,
        approval_ratios=ratios,
        too_few=few,
        unpaid=not new.summary["evaluated"] or new.summary["rounds_trained"] < new.summary["rounds_planned"],
        withdrew=tuple(name for name in trained.summary["institutions"] if name not in stayed),
    )


def require_signed(run: Path) -> bool:
    """Refuse a run whose released files do not follow from its members' signed messages.

    Returns
    -------
    bool
        Whether that could be looked at: it takes the job store beside the run.

    Raises
    ------
    ConfigError
        With the first check that failed.
    """
    files = find_run(run, None)
    for check in verify_run(files):
        if check.result is Result.FAILED:
            raise ConfigError(f"run {run} does not verify: {check.name}, {check.where}: {check.detail}.")
    return files.store is not None


def require_same_model(trained: Path, new: ReleasedRun) -> bool:
    """Refuse a monitoring run whose plan holds other bytes than the training run's model.

    Returns
    -------
    bool
        Whether that could be looked at: it takes the training job's store.

    Raises
    ------
    ConfigError
        If the model is another one.
    """
    if find_run(trained, None).store is None:
        return False
    if monitor_spec(trained) != new.plan.model:
        raise ConfigError(f"job {new.plan.job} watches other bytes than the model of {trained}; watch that one.")
    return True
