"""Part 9: what the score is made of: points per bin, evidence behind them, direction, and what a feature weighs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import Feature
from fedcredit.models.points import BASE, points_table
from fedcredit.models.scorecard_release import BINNED_FAMILIES, ScorecardFeature, read_release
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.reason_stability import ReasonStability, reason_stability

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointsBin:
    """One line of the points table.

    Attributes
    ----------
    share
        Share of training records, by released counts that may be noisy; in [0, 1].
    good, bad
        Released counts.
    woe, iv
        Weight of evidence (positive is safer) and part of the information value.
    points
        Points that the bin adds; more is safer.
    """

    label: str
    share: float
    good: float
    bad: float
    woe: float
    iv: float
    points: int


@dataclass(frozen=True, slots=True)
class FeaturePoints:
    """One feature.

    Attributes
    ----------
    reason
        Text of its reason code.
    iv
        Information value; noise pushes it up.
    declared
        Direction of risk as the value grows, as the dictionary declares it.
    found
        Direction of the released points' risk over the bins in order; ``none`` for categories.
    spread
        Standard deviation of its points over the released counts: how much it moves scores.
    """

    feature: str
    block: str
    data_class: str
    reason: str
    iv: float
    declared: str
    found: str
    spread: float
    bins: tuple[PointsBin, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The part.

    Attributes
    ----------
    base_points
        Per institution type.
    features
        In dictionary order.
    stability
        How firmly reasons stand against the noise, per institution type.
    why
        Why there is no points table, or None.
    """

    scale: str
    base_points: tuple[tuple[str, int], ...]
    features: tuple[FeaturePoints, ...]
    stability: tuple[ReasonStability, ...]
    stability_why: str | None
    why: str | None


def explanation_of(inputs: ReportInputs) -> Explanation:
    """Compute the part."""
    scale = inputs.assumptions.scale
    family = str(inputs.model.get("family"))
    if family not in BINNED_FAMILIES:
        why = f"a model of family {family!r} has no points table; 'fedcredit explain' takes single scores apart"
        return Explanation(scale.sentence, (), (), (), why, why)
    rows = points_table(inputs.model, scale)
    points: dict[str, list[int]] = {}
    for row in rows:
        points.setdefault(row.feature, []).append(row.points)
    declared = {feature.name: feature for feature in inputs.dictionary.features}
    features = read_release(inputs.model).features
    stability, stability_why = reason_stability(inputs)
    return Explanation(
        scale.sentence,
        tuple((row.label, row.points) for row in rows if row.feature == BASE),
        tuple(_feature(one, declared[one.name], points[one.name], scale.factor) for one in features),
        stability,
        stability_why,
        None,
    )


def shares_of(feature: ScorecardFeature) -> Floats:
    """Share of training records in each bin, by the released counts; shape (B,)."""
    sizes = np.array([max(one.good + one.bad, 0.0) for one in feature.bins])
    total = float(sizes.sum())
    return sizes / total if total > 0 else np.full(len(sizes), 1 / len(sizes))


def _feature(one: ScorecardFeature, declared: Feature, points: list[int], factor: float) -> FeaturePoints:
    shares, weights = shares_of(one), np.array([found.weight for found in one.bins]) / 1024
    spread = factor * float(np.sqrt((shares * (weights - (shares * weights).sum()) ** 2).sum()))
    return FeaturePoints(
        feature=one.name,
        block=one.block,
        data_class=declared.data_class,
        reason=declared.reason,
        iv=one.iv,
        declared=declared.monotone,
        found=_direction(one, declared, weights),
        spread=spread,
        bins=tuple(
            PointsBin(found.label, float(share), found.good, found.bad, found.woe, found.iv, own)
            for found, share, own in zip(one.bins, shares, points, strict=True)
        ),
    )


def _direction(one: ScorecardFeature, declared: Feature, weights: Floats) -> str:
    if declared.type == "category":
        return "none"
    only_missing = [found.cells == (declared.missing_cell,) for found in one.bins]
    steps = np.diff(weights[~np.array(only_missing)])
    if not steps.any():
        return "flat"
    return "increasing" if (steps >= 0).all() else "decreasing" if (steps <= 0).all() else "mixed"
