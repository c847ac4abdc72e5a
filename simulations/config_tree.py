"""The configuration tree of ``configs/simulation.yaml``: every key, its type and its range.

Hydra composes and overrides; this is what a value must be. Types are strict, so that ``seed=1.5`` or ``run.dir=7``
is refused and not rounded or guessed.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from fedcredit.errors import ConfigError
from fedcredit.models.joint_spec import Fit
from simulations.placement import Masks
from simulations.unread import require_read

MAX_SEED = 2**32 - 1
"""Largest seed that scikit-learn's splits take."""

_PLAIN = {
    "missing": "is missing; set it.",
    "extra_forbidden": "is not a known key; remove it or correct its spelling.",
}
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class _Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataKeys(_Keys):
    """Which table."""

    source: Literal["uci_credit", "uci_credit_flat", "uci_credit_groups", "uci_resampled", "file", "synthetic"]
    path: str | None
    dictionary: str | None
    mapping: str | None
    rows: Annotated[int, Field(ge=10, le=10**8)] | None = None
    later_months: Annotated[int, Field(ge=0)] = 0
    population: dict[str, bool | int | float | str | list[bool | int | float | str]] | None = None


class SharesKeys(_Keys):
    """Percent of the cost per phase."""

    preflight: Annotated[int, Field(ge=1)]
    train: Annotated[int, Field(ge=1)]
    evaluate: Annotated[int, Field(ge=1)]


class PrivacyKeys(_Keys):
    """What is promised, and by whom noise is added; ranges are checked where their meaning is known."""

    placement: str
    epsilon: float | None
    delta: float | None
    unit: Literal["record", "person"]
    max_records_per_person: int
    colluders: int
    max_attempts: int
    max_drops: int
    min_owners: int
    shares: SharesKeys


class FederationKeys(_Keys):
    """Who takes part and how the rows are dealt."""

    banks: Annotated[int, Field(ge=0)]
    hospitals: Annotated[int, Field(ge=0)]
    split: Literal["iid", "dirichlet", "column"]
    alpha: Annotated[float, Field(ge=0.01, le=1e6)]
    split_column: str | None


class NoiseKeys(_Keys):
    """Where noise comes from: None is the operating system."""

    seed: Annotated[int, Field(ge=0)] | None


class LinkedKeys(_Keys):
    """The linked job that fits a joint view; 0 percent of the cost where no linked rows are declared."""

    percent: Annotated[int, Field(ge=0, le=50)]
    customers: str | None
    fit: Fit


class EvaluationKeys(_Keys):
    """The released score histogram."""

    score_bins: int | None
    groupings: list[str]


class EventKeys(_Keys):
    """What goes wrong among the institutions of a cohort: shares, and probabilities at each attempt at a step."""

    absent: Share
    dropout: Share
    straggler: Share
    poisoner: Share
    poison_factor: Annotated[int, Field(ge=-100, le=100)]


class NetworkKeys(_Keys):
    """The network whose wall time a cohort's run reports."""

    latency_ms: Annotated[float, Field(ge=0, le=60_000)]
    bandwidth_mbit: Annotated[float, Field(gt=0, le=1e6)]
    poll_s: Annotated[float, Field(ge=0, le=3600)]
    timeout_s: Annotated[float, Field(ge=0, le=86_400)]


class RunKeys(_Keys):
    """Where the run folder goes."""

    dir: Annotated[str, Field(min_length=1)] | None


class SweepKeys(_Keys):
    """How the points of a sweep are run."""

    launcher: Literal["processes", "ray"]
    workers: Annotated[int, Field(ge=1)] | None
    address: Annotated[str, Field(min_length=1)] | None


class ConfigTree(_Keys):
    """The whole tree; `model` is checked by its family."""

    data: DataKeys
    model: dict[str, Any]
    privacy: PrivacyKeys
    federation: FederationKeys
    linked: LinkedKeys
    seed: Seed
    noise: NoiseKeys
    masks: Masks
    evaluation: EvaluationKeys
    runtime: Literal["in_process", "cohort", "flower", "loopback"]
    kernel: Literal["numpy", "compiled", "torch"]
    device: Literal["auto", "cpu", "cuda"]
    events: EventKeys
    network: NetworkKeys
    compare: bool
    client_level: bool
    run: RunKeys
    sweep: SweepKeys


def parse_config(config: Mapping[str, Any]) -> ConfigTree:
    """Check the keys and types of a composed configuration.

    Parameters
    ----------
    config
        Plain values.

    Raises
    ------
    ConfigError
        With the first key that is unknown, missing or of another type, or that nothing would read.
    """
    try:
        tree = ConfigTree.model_validate(config)
    except ValidationError as error:
        raise ConfigError(first_problem(error, config)) from error
    require_read(tree)
    return tree


def first_problem(error: ValidationError, config: Mapping[str, Any], *above: str) -> str:
    """Say in one sentence, in Hydra's dotted names, what pydantic found first.

    Parameters
    ----------
    config
        What was validated.
    above
        Keys that lead to `config` in the whole tree.
    """
    fault = error.errors(include_url=False)[0]
    key = ".".join([*above, *_written(fault["loc"], config)])
    if fault["type"] in _PLAIN:
        return f"{key} {_PLAIN[fault['type']]}"
    return f"{key}{_got(fault)} is not usable: {_reason(fault)}."


def _written(loc: Sequence[int | str], config: Any) -> list[str]:  # noqa: ANN401  (a plain tree)
    """Leave out pydantic's names of union branches, which nobody wrote."""
    here, keys = config, []
    for depth, step in enumerate(loc):
        if isinstance(here, Mapping) and step not in here and depth < len(loc) - 1:
            continue
        here = here.get(step) if isinstance(here, Mapping) else None
        keys.append(str(step))
    return keys


def _got(fault: ErrorDetails) -> str:
    return "" if isinstance(fault["input"], Mapping) else f"={fault['input']!r}"


def _reason(fault: ErrorDetails) -> str:
    text = fault["msg"].removeprefix("Value error, ").rstrip(".")
    return text.replace("Input should", "it should", 1)
