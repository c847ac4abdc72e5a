"""From a composed Hydra configuration to typed values; every wrong or unknown setting is one sentence.

The only place that reads the configuration tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedcredit.errors import ConfigError
from fedcredit.evaluation.score_grid import default_n_bins
from fedcredit.models.binned_kernel import torch_kernel
from fedcredit.models.family import Kernel, family_of
from fedcredit.models.joint_spec import JointSpec
from fedcredit.models.module_source import read_source, require_neural
from fedcredit.models.specs import ModelSpec
from fedcredit.monitoring.draft import monitor_spec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms
from fedcredit.planning import BudgetShares, evaluation_noise_stddev
from fedcredit.privacy import gdp
from fedcredit.privacy.shares import fewest_members
from fedcredit.roster import FEWEST_MEMBERS
from simulations.circumstances import Circumstances
from simulations.client_level import FAMILIES as CLIENT_LEVEL_FAMILIES
from simulations.cohort_events import EventSpec
from simulations.config_tree import ConfigTree, PrivacyKeys, first_problem, parse_config
from simulations.dataset import DataSpec
from simulations.federation import JobSpec
from simulations.joint_view import linked_spec, split_budget
from simulations.partition import TEST_FRACTION, SplitSpec
from simulations.placement import AUTO, Masks, local_steps_of, masks_for, placement_for
from simulations.population.spec import PopulationSpec, parse_spec
from simulations.virtual_clock import NetworkSpec


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a simulation needs to know, checked.

    Attributes
    ----------
    job
        The joint job; comparisons derive theirs from it.
    linked
        The linked job that follows it, or None where no linked rows are declared.
    customers
        Institution type whose customers get the joint view; None for the dictionary's first.
    target
        The terms that both jobs meet together; those of `job` where it is alone.
    placement, masks
        As asked for, ``auto`` included; `job` holds what follows from the number of institutions.
    run_dir
        Run folder, or None for one named by the time.
    """

    data: DataSpec
    banks: int
    hospitals: int
    split: SplitSpec
    job: JobSpec
    linked: JobSpec | None
    customers: str | None
    target: PrivacyTerms
    placement: str
    masks: Masks
    seed: int
    runtime: str
    circumstances: Circumstances
    compare: bool
    client_level: bool
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
    model = _model(tree.model)
    kernel = _kernel(tree, model)
    privacy = _privacy_terms(tree, n_rows, local_steps_of(model))
    job = JobSpec(
        name="joint",
        model=model,
        privacy=privacy,
        shares=shares,
        evaluation=_evaluation(tree, n_rows, privacy, shares),
        noise_seed=tree.noise.seed,
        kernel=kernel,
    )
    base, linked = _jobs(tree, job)
    return Settings(
        data=data_spec(config),
        banks=tree.federation.banks,
        hospitals=tree.federation.hospitals,
        split=SplitSpec(tree.federation.split, tree.federation.alpha),
        job=base,
        linked=linked,
        customers=tree.linked.customers,
        target=privacy,
        placement=tree.privacy.placement,
        masks=tree.masks,
        seed=tree.seed,
        runtime=tree.runtime,
        circumstances=_circumstances(tree),
        # A model under watch is not trained here, so there is nothing to compare it with.
        compare=tree.compare and model.family != "monitor",
        client_level=_client_level(tree, model),
        run_dir=run_dir(config),
    )


def _jobs(tree: ConfigTree, job: JobSpec) -> tuple[JobSpec, JobSpec | None]:
    """The base job, and the linked one if any; together they cost what the one asked for would."""
    if tree.linked.percent == 0:
        return job, None
    if tree.runtime != "in_process":
        raise ConfigError(f"linked.percent={tree.linked.percent} needs runtime=in_process, got {tree.runtime}.")
    base, linked = split_budget(job.privacy, tree.linked.percent)
    return replace(job, privacy=base), linked_spec(job, linked, JointSpec(fit=tree.linked.fit))


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
        rows=_rows(tree),
        seed=tree.seed,
    )


def population_spec(config: Mapping[str, Any]) -> PopulationSpec | None:
    """Which population to draw; None where a table is read.

    Raises
    ------
    ConfigError
        If a knob is unknown or out of range.
    """
    tree = parse_config(config)
    if tree.data.source != "synthetic":
        return None
    if tree.runtime != "in_process":
        raise ConfigError(f"runtime={tree.runtime} cannot run data=synthetic; use runtime=in_process.")
    knobs = tree.data.population or {}
    given = {"seed": tree.seed, "banks": tree.federation.banks, "hospitals": tree.federation.hospitals}
    return parse_spec([f"{name}={_as_text(value)}" for name, value in {**knobs, **given}.items()])


def later_months(config: Mapping[str, Any]) -> int:
    """How many of the last application months come after training; 0 where none does.

    Raises
    ------
    ConfigError
        If months are asked for of a table that has none.
    """
    tree = parse_config(config)
    if tree.data.later_months and tree.data.source != "synthetic":
        raise ConfigError(f"data.later_months needs application months, which data={tree.data.source} lacks; set it 0.")
    return tree.data.later_months


def run_dir(config: Mapping[str, Any]) -> Path | None:
    """Run folder, or None for one named by the time."""
    place = parse_config(config).run.dir
    return Path(place) if place is not None else None


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _privacy_terms(tree: ConfigTree, n_rows: int, local_steps: int) -> PrivacyTerms:
    privacy, epsilon, delta = tree.privacy, tree.privacy.epsilon, tree.privacy.delta
    n_institutions = tree.federation.banks + tree.federation.hospitals
    placement = _placement(privacy, n_institutions, local_steps)
    if placement is not Placement.NONE:
        if epsilon is None:
            raise ConfigError("privacy.epsilon=None is no bound; set a number above 0, or privacy=none.")
        gdp.check_epsilon(epsilon)
        delta = gdp.default_delta(n_rows) if delta is None else delta
        gdp.check_delta(delta, n_rows)
    elif epsilon is not None or delta is not None:
        raise ConfigError("privacy=none has no epsilon and no delta; remove them, or use privacy=auto.")
    chosen = {"placement": placement, "epsilon": epsilon, "delta": delta, "masks": _masks(tree, n_institutions)}
    terms = {**privacy.model_dump(exclude={"shares"}), **chosen}
    try:
        return PrivacyTerms.model_validate(terms)
    except ValidationError as error:
        raise ConfigError(first_problem(error, terms, "privacy")) from error


def _placement(privacy: PrivacyKeys, n_institutions: int, local_steps: int) -> Placement:
    if privacy.placement == AUTO:
        return placement_for(Placement.DISTRIBUTED, n_institutions, privacy.colluders, local_steps)
    if privacy.placement not in {member.value for member in Placement}:
        raise ConfigError(
            f"privacy.placement={privacy.placement!r} is unknown; choose auto, distributed, local or central, "
            "or privacy=none."
        )
    fewest = fewest_members(privacy.colluders)
    if privacy.placement == Placement.DISTRIBUTED and n_institutions < fewest:
        raise ConfigError(
            f"privacy.placement=distributed with privacy.colluders={privacy.colluders} needs {fewest} institutions or "
            f"more, got {n_institutions}; add institutions, lower privacy.colluders, or use privacy.placement=local."
        )
    return Placement(privacy.placement)


def _masks(tree: ConfigTree, n_institutions: int) -> bool:
    asked = tree.masks
    if tree.runtime == "cohort":
        if asked == "on":
            raise ConfigError("masks=on is not for runtime=cohort, which has none; use runtime=in_process.")
        return False
    if asked == "on" and n_institutions < FEWEST_MEMBERS:
        raise ConfigError(
            f"masks=on needs {FEWEST_MEMBERS} institutions or more, got {n_institutions}: between two, each can work "
            "out the other's vector from the sum; add institutions or use masks=auto."
        )
    return masks_for(asked, n_institutions)


def _circumstances(tree: ConfigTree) -> Circumstances:
    events = EventSpec(**tree.events.model_dump())
    if tree.runtime != "cohort" and replace(events, poison_factor=-1) != EventSpec():
        raise ConfigError("events are drawn for runtime=cohort only; set it, or leave events at 0.")
    return Circumstances(events, NetworkSpec(**tree.network.model_dump()), tree.seed)


def _rows(tree: ConfigTree) -> int | None:
    wanted = tree.data.source == "uci_resampled"
    if wanted != (tree.data.rows is not None):
        raise ConfigError("data.rows is for data=uci_resampled, and it needs it; set or remove it.")
    return tree.data.rows


def _model(model: Mapping[str, Any]) -> ModelSpec:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    try:
        return adapter.validate_python(_with_run(_with_hash(model)))
    except ValidationError as error:
        raise ConfigError(first_problem(error, model, "model")) from error


def _with_hash(model: Mapping[str, Any]) -> dict[str, Any]:
    """The hash of a module's file, where it is not given: a simulation runs the file that lies there."""
    if model.get("family") != "module" or model.get("source_sha256") is not None:
        return dict(model)
    require_neural()
    return {**model, "source_sha256": read_source(str(model.get("module"))).sha256}


def _with_run(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a monitoring job states of the model of an earlier run, which is named by its folder."""
    if model.get("family") != "monitor" or "run" not in model:
        return model
    if not model["run"]:
        raise ConfigError("model=monitor needs model.run, the folder of the run whose model is watched.")
    watched: dict[str, Any] = monitor_spec(Path(model["run"])).model_dump(mode="json")
    return watched


def _kernel(tree: ConfigTree, model: ModelSpec) -> Kernel:
    """Refuse a kernel that this family or this machine does not have, or that no site file can ask for."""
    if tree.device != "auto" and tree.kernel != "torch":
        raise ConfigError(f"device={tree.device} is for kernel=torch, not for kernel={tree.kernel}; set that, or auto.")
    if tree.kernel != "numpy" and tree.runtime == "loopback":
        raise ConfigError(
            f"kernel={tree.kernel} is not for custodians of runtime=loopback; use another runtime or kernel."
        )
    kernel: Kernel = torch_kernel(tree.device) if tree.kernel == "torch" else tree.kernel
    family_of(model.family, kernel)
    return kernel


def _client_level(tree: ConfigTree, model: ModelSpec) -> bool:
    """Refuse it where it cannot be run, before anything else is."""
    if tree.client_level and tree.privacy.epsilon is None:
        raise ConfigError("client_level=true needs an epsilon, and privacy=none has none; leave one of the two out.")
    if tree.client_level and model.family not in CLIENT_LEVEL_FAMILIES:
        raise ConfigError(
            "client_level=true is for models that take all records at once in one step, and "
            f"{model.family!r} does not; choose one of {', '.join(CLIENT_LEVEL_FAMILIES)}."
        )
    return tree.client_level


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
