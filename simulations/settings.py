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
from simulations.config_tree import ConfigTree, PrivacyKeys, first_problem, parse_config
from simulations.dataset import DataSpec
from simulations.federation import JobSpec
from simulations.partition import TEST_FRACTION, SplitSpec

_NOT_YET = {
    "distributed": "privacy.placement=distributed needs secure aggregation, which this version lacks; use local."
}


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
    tree = parse_config(config)
    shares = BudgetShares(**tree.privacy.shares.model_dump())
    privacy = _privacy_terms(tree.privacy, n_rows)
    return Settings(
        data=data_spec(config),
        banks=tree.federation.banks,
        hospitals=tree.federation.hospitals,
        split=SplitSpec(tree.federation.split, tree.federation.alpha),
        job=JobSpec(
            name="joint",
            model=_model(tree.model),
            privacy=privacy,
            shares=shares,
            evaluation=_evaluation(tree, n_rows, privacy, shares),
            noise_seed=tree.noise.seed,
        ),
        seed=tree.seed,
        runtime=tree.runtime,
        compare=tree.compare,
        run_dir=run_dir(config),
    )


def data_spec(config: Mapping[str, Any]) -> DataSpec:
    """Which table to read.

    Raises
    ------
    ConfigError
        If the configuration is unusable, whichever key is at fault.
    """
    tree = parse_config(config)
    return DataSpec(
        source=tree.data.source,
        path=tree.data.path,
        dictionary=Path(tree.data.dictionary) if tree.data.dictionary else None,
        mapping=Path(tree.data.mapping) if tree.data.mapping else None,
        split_column=tree.federation.split_column,
        unit=tree.privacy.unit,
        max_records_per_person=tree.privacy.max_records_per_person,
    )


def run_dir(config: Mapping[str, Any]) -> Path | None:
    """Run folder, or None for one named by the time."""
    place = parse_config(config).run.dir
    return Path(place) if place is not None else None


def _privacy_terms(privacy: PrivacyKeys, n_rows: int) -> PrivacyTerms:
    placement, epsilon, delta = privacy.placement, privacy.epsilon, privacy.delta
    if placement in _NOT_YET:
        raise ConfigError(_NOT_YET[placement])
    if placement not in {member.value for member in Placement}:
        raise ConfigError(f"privacy.placement={placement!r} is unknown; choose local or central, or privacy=none.")
    if placement != Placement.NONE:
        if epsilon is None:
            raise ConfigError("privacy.epsilon=None is no bound; set a number above 0, or privacy=none.")
        gdp.check_epsilon(epsilon)
        delta = gdp.default_delta(n_rows) if delta is None else delta
        gdp.check_delta(delta, n_rows)
    elif epsilon is not None or delta is not None:
        raise ConfigError("privacy=none has no epsilon and no delta; remove them, or use privacy=local.")
    terms = {**privacy.model_dump(exclude={"shares"}), "epsilon": epsilon, "delta": delta}
    try:
        return PrivacyTerms.model_validate(terms)
    except ValidationError as error:
        raise ConfigError(first_problem(error, terms, "privacy")) from error


def _model(model: Mapping[str, Any]) -> ModelSpec:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    try:
        return adapter.validate_python(dict(model))
    except ValidationError as error:
        raise ConfigError(first_problem(error, model, "model")) from error


def _evaluation(tree: ConfigTree, n_rows: int, privacy: PrivacyTerms, shares: BudgetShares) -> EvaluationTerms:
    n_institutions = tree.federation.banks + tree.federation.hospitals
    terms = tree.evaluation.model_dump()
    if terms["score_bins"] is None:
        noise = evaluation_noise_stddev(privacy, shares, len(terms["groupings"]), n_institutions)
        terms["score_bins"] = default_n_bins(int(n_rows * TEST_FRACTION), noise)
    try:
        return EvaluationTerms.model_validate(terms)
    except ValidationError as error:
        raise ConfigError(first_problem(error, terms, "evaluation")) from error
