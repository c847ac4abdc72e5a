"""From a composed Hydra configuration to typed values; every wrong or unknown setting is one sentence.

The only place that reads the configuration tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedcredit.errors import ConfigError
from fedcredit.evaluation.score_grid import default_n_bins
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms
from fedcredit.planning import BudgetShares, evaluation_noise_stddev
from fedcredit.privacy import gdp
from simulations.dataset import DataSpec
from simulations.federation import JobSpec
from simulations.partition import TEST_FRACTION, SplitSpec

_NOT_YET = {
    "distributed": "privacy.placement=distributed needs secure aggregation, which this version lacks; use local."
}
RUNTIMES = ("in_process", "flower", "loopback")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a simulation needs to know, checked.

    Attributes
    ----------
    job
        The joint job; comparisons derive theirs from it.
    run_dir
        Run folder, or None for one named by the time.
    """

    data: DataSpec
    banks: int
    hospitals: int
    split: SplitSpec
    job: JobSpec
    seed: int
    runtime: str
    compare: bool
    run_dir: Path | None


def read_settings(config: Mapping[str, Any], n_rows: int) -> Settings:
    """Check a configuration.

    Parameters
    ----------
    config
        The composed tree as plain values.
    n_rows
        Number of rows of the table, for the default delta and the number of score bins.

    Raises
    ------
    ConfigError, PrivacyError
        With the key, its value and the remedy.
    """
    privacy, federation = config["privacy"], config["federation"]
    if config["runtime"] not in RUNTIMES:
        raise ConfigError(f"runtime={config['runtime']!r} is unknown; choose {', '.join(RUNTIMES)}.")
    terms = _privacy_terms(privacy, n_rows)
    shares = BudgetShares(**privacy["shares"])
    return Settings(
        data=data_spec(config),
        banks=federation["banks"],
        hospitals=federation["hospitals"],
        split=SplitSpec(federation["split"], federation["alpha"]),
        job=JobSpec(
            name="joint",
            model=_model(config["model"]),
            privacy=terms,
            shares=shares,
            evaluation=_evaluation(config, n_rows, terms, shares),
            noise_seed=config["noise"]["seed"],
        ),
        seed=config["seed"],
        runtime=config["runtime"],
        compare=config["compare"],
        run_dir=Path(config["run"]["dir"]) if config["run"]["dir"] else None,
    )


def data_spec(config: Mapping[str, Any]) -> DataSpec:
    """Which table to read."""
    data, privacy = config["data"], config["privacy"]
    return DataSpec(
        source=data["source"],
        path=data["path"],
        dictionary=Path(data["dictionary"]) if data["dictionary"] else None,
        split_column=config["federation"]["split_column"],
        unit=privacy["unit"],
        max_records_per_person=privacy["max_records_per_person"],
    )


def _privacy_terms(privacy: Mapping[str, Any], n_rows: int) -> PrivacyTerms:
    placement = privacy["placement"]
    if placement in _NOT_YET:
        raise ConfigError(_NOT_YET[placement])
    if placement not in {member.value for member in Placement}:
        raise ConfigError(f"privacy.placement={placement!r} is unknown; choose local or central, or privacy=none.")
    epsilon, delta = privacy["epsilon"], privacy["delta"]
    if placement != Placement.NONE:
        if not isinstance(epsilon, int | float):
            raise ConfigError(f"privacy.epsilon={epsilon!r} is not a number; set one, or privacy=none.")
        gdp.check_epsilon(float(epsilon))
        delta = gdp.default_delta(n_rows) if delta is None else delta
        gdp.check_delta(delta, n_rows)
    elif epsilon is not None or delta is not None:
        raise ConfigError("privacy=none has no epsilon and no delta; remove them, or use privacy=local.")
    try:
        return PrivacyTerms(
            placement=Placement(placement),
            unit=privacy["unit"],
            max_records_per_person=privacy["max_records_per_person"],
            epsilon=epsilon,
            delta=delta,
            colluders=privacy["colluders"],
            max_attempts=privacy["max_attempts"],
        )
    except ValidationError as error:
        raise ConfigError(f"privacy is not usable: {_first(error)}") from error


def _model(model: Mapping[str, Any]) -> ModelSpec:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    try:
        return adapter.validate_python(dict(model))
    except ValidationError as error:
        raise ConfigError(f"model is not usable: {_first(error)}") from error


def _evaluation(
    config: Mapping[str, Any], n_rows: int, privacy: PrivacyTerms, shares: BudgetShares
) -> EvaluationTerms:
    evaluation, federation = config["evaluation"], config["federation"]
    n_institutions = federation["banks"] + federation["hospitals"]
    noise = evaluation_noise_stddev(privacy, shares, len(evaluation["groupings"]), n_institutions)
    bins = evaluation["score_bins"] or default_n_bins(int(n_rows * TEST_FRACTION), noise)
    try:
        return EvaluationTerms(score_bins=bins, groupings=tuple(evaluation["groupings"]))
    except ValidationError as error:
        raise ConfigError(f"evaluation is not usable: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
