"""How much better the joint model is than each rival on the same test records, with sampling and noise apart.

Sampling: the records are a sample; both models scored all of them, so the difference is paired (`simulations.paired`).
Noise: what another draw of the noise in training would do to the two models, whose draws are independent, so variances
add (`simulations.training_noise`). Models without privacy have none.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from simulations.comparisons import Comparison
from simulations.paired import Difference, Ranked, auc_difference, brier_difference


@dataclass(frozen=True, slots=True)
class Delta:
    """The joint model's figures minus a rival's.

    Attributes
    ----------
    view
        Whose columns both score with.
    model
        ``alone``, ``same_type`` or ``pooled``.
    institution
        Whose model the rival is; None for a model of several.
    auc, brier
        Differences; None where the test records do not allow one.
    auc_noise_stddev
        Standard deviation of the AUC's difference over the noise of training; None where it is not known.
    """

    view: str
    model: str
    institution: str | None
    auc: Difference | None
    brier: Difference | None
    auc_noise_stddev: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def delta_from_json(values: Mapping[str, Any]) -> Delta:
    """Read what `Delta.to_json` wrote."""
    parts = {name: None if values[name] is None else Difference(**values[name]) for name in ("auc", "brier")}
    return Delta(**{**values, **parts})


def deltas_of(comparison: Comparison) -> tuple[Delta, ...]:
    """The joint model against every rival, view by view."""
    return tuple(_deltas(comparison))


def _deltas(found: Comparison) -> Iterator[Delta]:
    joint = {view: Ranked(found.labels[view], scores.pd) for view, scores in found.joint.items()}
    for model, rivals in (("same_type", found.same_type), ("pooled", found.pooled)):
        for view, scores in rivals.items():
            if view in joint:
                noise = _added(found, view, model)
                yield _delta(joint[view], Ranked(found.labels[view], scores.pd), (view, model, None), noise)
    for name, (view, scores) in found.alone.items():
        rival = Ranked(found.labels[view], scores.pd)
        yield _delta(joint[view], rival, (view, "alone", name), found.noise.get(("joint", view)))


def _delta(joint: Ranked, rival: Ranked, who: tuple[str, str, str | None], noise: float | None) -> Delta:
    return Delta(*who, auc_difference(joint, rival), brier_difference(joint, rival), noise)


def _added(found: Comparison, view: str, model: str) -> float | None:
    joint = found.noise.get(("joint", view))
    rival = found.noise.get((model, view)) if model == "same_type" else 0.0
    return None if joint is None or rival is None else math.hypot(joint, rival)
