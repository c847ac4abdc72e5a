"""What a run found, as plain frozen values, and the one JSON form of it.

`RunResult` is exactly `metrics.json`: the exact figures that only a simulation can compute (`models`), the
released estimates (`federated`), what each institution spent (`privacy`), where the noise came from and how
long it took. Nothing here may be written by a deployed coordinator.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fedcredit.errors import DataError
from fedcredit.privacy.statement import PrivacyStatement
from simulations.placement import MaskLabel
from simulations.rival_deltas import Delta, delta_from_json
from simulations.virtual_clock import VirtualTime

Noise = Literal["os", "seeded (simulation)", "none"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Exact figures of one model on test records.

    Parameters
    ----------
    auc, ks
        In [0, 1], or None where the test records hold one class only.
    brier
        In [0, 1], or None without test records.
    n_test
        Number of test records.
    """

    auc: float | None
    ks: float | None
    brier: float | None
    n_test: int


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model on all of its test records and per view (``bank``, ``hospital``, ``all``)."""

    overall: Metrics
    by_view: Mapping[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Federated:
    """Released estimates from the noisy score histogram; None where they cannot be computed."""

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    ks: float | None
    brier: float | None


@dataclass(frozen=True, slots=True)
class ClientLevelResult:
    """The model under differential privacy of whole institutions, and what each institution is promised."""

    model: ModelResult
    privacy: PrivacyStatement


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything in `metrics.json`.

    Parameters
    ----------
    joint, same_type, pooled
        The model of all institutions; of institutions of one type; and one trained on all rows without
        privacy.
    alone
        Per institution, its own model without privacy.
    federated
        Released estimates.
    privacy
        Per institution.
    epsilon_joint
        Per institution, ε if all parameters were fixed in advance, the retry reserve spent on one phase; for display
        only. None without sampling, or where it could not be computed.
    noise
        Where the noise came from.
    placement
        Who added the joint job's noise: ``distributed``, ``local``, ``central`` or ``none``.
    masks
        Whether the joint job's vectors were masked.
    seconds_start, seconds_total
        Until the first phase, and until the end.
    virtual
        What the job would take over a network, where that was simulated.
    deltas
        The joint model against each rival on the same test records.
    client_level
        The rival that protects institutions and not records, where it was asked for.
    """

    joint: ModelResult
    same_type: ModelResult
    pooled: ModelResult
    alone: Mapping[str, ModelResult]
    federated: Federated
    privacy: Mapping[str, PrivacyStatement]
    epsilon_joint: Mapping[str, float | None]
    noise: Noise
    placement: str
    masks: MaskLabel
    seconds_start: float
    seconds_total: float
    virtual: VirtualTime | None = None
    deltas: tuple[Delta, ...] = ()
    client_level: ClientLevelResult | None = None

    def to_json(self) -> str:
        """Return `metrics.json`, with a newline at the end.

        Raises
        ------
        ValueError
            If a figure is NaN or infinite; such a figure must be None.
        """
        tree: dict[str, Any] = {
            "models": {
                "joint": _model_tree(self.joint),
                "same_type": _model_tree(self.same_type),
                "pooled": _model_tree(self.pooled),
                "alone": {name: _model_tree(model) for name, model in self.alone.items()},
            },
            "deltas": [one.to_json() for one in self.deltas],
            "federated": asdict(self.federated),
            "privacy": {name: asdict(statement) for name, statement in self.privacy.items()},
            "epsilon_joint": dict(self.epsilon_joint),
            "noise": self.noise,
            "placement": self.placement,
            "masks": self.masks,
            "seconds": {"start": self.seconds_start, "total": self.seconds_total},
            "virtual": None if self.virtual is None else asdict(self.virtual),
        }
        if self.client_level is not None:
            tree["models"]["client_level"] = _model_tree(self.client_level.model)
            tree["privacy_of_institutions"] = asdict(self.client_level.privacy)
        return json.dumps(tree, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunResult":
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            If the text is not the JSON of a run.
        """
        try:
            tree = json.loads(text)
            models = tree["models"]
            return cls(
                joint=_model(models["joint"]),
                same_type=_model(models["same_type"]),
                pooled=_model(models["pooled"]),
                alone={name: _model(model) for name, model in models["alone"].items()},
                federated=Federated(**tree["federated"]),
                privacy={name: PrivacyStatement(**statement) for name, statement in tree["privacy"].items()},
                epsilon_joint=tree["epsilon_joint"],
                noise=tree["noise"],
                placement=tree["placement"],
                masks=tree["masks"],
                seconds_start=tree["seconds"]["start"],
                seconds_total=tree["seconds"]["total"],
                virtual=VirtualTime(**tree["virtual"]) if tree.get("virtual") else None,
                deltas=tuple(delta_from_json(one) for one in tree.get("deltas", ())),
                client_level=_client_level(tree) if "client_level" in models else None,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"This is not the metrics.json of a run ({error}); run the simulation again.") from error


@dataclass(frozen=True, slots=True)
class InstitutionPlan:
    """What one institution brings and will spend.

    Parameters
    ----------
    institution, kind
        Its id and type.
    n_rows
        Declared public size.
    columns
        Number of columns per block that it owns.
    privacy
        What it will spend, planned.
    """

    institution: str
    kind: str
    n_rows: int
    columns: Mapping[str, int]
    privacy: PrivacyStatement


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a job will do, before it starts.

    Parameters
    ----------
    institutions
        In roster order.
    n_colluders
        t: institutions that may collude with the coordinator.
    coordinator_sees
        End of a sentence: single noised vectors, or only their sum.
    notes
        What else a reader has to know: who adds the noise and why, masks, blocks with few owners.
    """

    institutions: tuple[InstitutionPlan, ...]
    n_colluders: int
    coordinator_sees: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One setting of a sweep and its runs, one per seed."""

    settings: Mapping[str, str]
    runs: tuple[RunResult, ...]


def _model_tree(model: ModelResult) -> dict[str, Any]:
    tree = asdict(model.overall)
    if model.by_view:
        tree["by_view"] = {view: asdict(metrics) for view, metrics in model.by_view.items()}
    return tree


def _client_level(tree: dict[str, Any]) -> ClientLevelResult:
    model = _model(tree["models"]["client_level"])
    return ClientLevelResult(model, PrivacyStatement(**tree["privacy_of_institutions"]))


def _model(tree: dict[str, Any]) -> ModelResult:
    overall = {name: value for name, value in tree.items() if name != "by_view"}
    views = {view: Metrics(**metrics) for view, metrics in tree.get("by_view", {}).items()}
    return ModelResult(Metrics(**overall), views)
