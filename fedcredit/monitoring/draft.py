"""From a finished training run to the monitoring job that watches its model."""

from pathlib import Path

import yaml

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.job.progress import Progress, advance, scored_model, start
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import Plan, parse_plan
from fedcredit.verify.run_files import RunFiles, find_run, read_store

SHARES = {"preflight": 30, "train": 30, "evaluate": 30}
"""Percent of a monitoring job's cost per phase: drift of features, drift and calibration of scores, groups."""


def monitor_spec(run: Path, store: Path | None = None) -> MonitorSpec:
    """What a plan has to state in order to watch a run's model.

    Parameters
    ----------
    run
        Folder of the finished training run.
    store
        The coordinator's store, where it does not lie in the run folder.

    Raises
    ------
    ConfigError
        If the run is not finished, has no store beside it, or its family cannot be watched.
    """
    files = find_run(run, store)
    plan, progress = _finished(files)
    if not isinstance(plan.model, ScorecardSpec | MlpSpec | AdditiveSpec):
        raise ConfigError(f"a model of family {plan.model.family!r} cannot be watched; retrain it as a scorecard.")
    scored = scored_model(plan, progress)
    return MonitorSpec(
        trained_by=plan.digest().hex(),
        scored=plan.model,
        model=scored.model.hex(),
        score_low=scored.low,
        score_high=scored.high,
        score_bins=plan.evaluation.score_bins,
    )


def monitor_plan_yaml(run: Path, job: str, epsilon: float | None, store: Path | None = None) -> str:
    """PLAN.yaml of a monitoring job: the training job's terms, with equal shares for the three phases.

    Parameters
    ----------
    job
        Name of the new job.
    epsilon
        Of the whole monitoring job; the training job's if None.

    Raises
    ------
    ConfigError
        As `monitor_spec`.
    """
    spec, files = monitor_spec(run, store), find_run(run, store)
    plan = parse_plan(files.read("plan.json") or b"")
    terms = plan.privacy
    privacy = terms.model_dump(mode="json", exclude={"reserve_percent"}, exclude_none=True)
    if epsilon is not None and terms.epsilon is not None:
        privacy["epsilon"] = epsilon
    document = {
        "job": job,
        "purpose": plan.purpose,
        "dictionary": plan.dictionary,
        "model": spec.model_dump(mode="json"),
        "privacy": privacy,
        "shares": SHARES,
        "evaluation": plan.evaluation.model_dump(mode="json"),
        "evaluation_percent": plan.evaluation_percent,
    }
    head = "# Watches the model of job " + plan.job + "; made by 'fedcredit models watch'.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _finished(files: RunFiles) -> tuple[Plan, Progress]:
    """A run's plan, and the state in which its stored steps end."""
    if files.store is None:
        raise ConfigError(f"{files.run} has no job store beside it; name the coordinator's with --store.")
    plan = parse_plan(files.read("plan.json") or b"")
    recorded = read_store(files.store)
    if recorded.plan != plan.to_bytes():
        raise ConfigError(f"{files.store} is the store of another job than {plan.job}; name the right one.")
    dictionary = parse_dictionary(files.read("dictionary.yaml") or b"", "the run's dictionary")
    progress = start(plan)
    for decided in recorded.steps:
        progress = advance(plan, dictionary, progress, decided)
    if progress.state is None or progress.evaluation is None:
        raise ConfigError(f"job {plan.job} was not evaluated; there is nothing to compare new records with.")
    return plan, progress
