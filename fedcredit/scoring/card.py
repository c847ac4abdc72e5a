"""A package made ready to score one institution type's customers: thresholds, integer weights and integer points.

A number falls into a bin, not into a grid cell, so neighbouring cells of one bin are joined and only the cuts between
bins stay. These are some of the dictionary's own cuts, so every value has the bin that it had in training.

Points are those of the points table, rounded bin by bin as a credit officer reads them; a score is their sum, nothing
else. The probability comes from the exact integer margin. What a feature takes away is counted from the population's
mean points of that feature (released counts), rounded: Siddiqi's average as neutral score. So

    score = reference − sum over features of points lost

holds exactly, in integers. A block that is not there stands at these means and contributes nothing.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 6 (scaling, adverse codes).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import Feature
from fedcredit.models.points import BASE, PointsRow, points_table
from fedcredit.models.scorecard_release import ScorecardFeature
from fedcredit.package.contents import ModelPackage

MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One feature's bins, by slot.

    Attributes
    ----------
    cuts
        Shape (m,), increasing, in the dictionary's unit; empty for a category. A number's slot is how many of them are
        not above it, a category's is its code's position.
    weights
        Shape (slots,), dtype int64: log-odds of bad in 1/1024 logit.
    points
        Shape (slots,), dtype int64.
    reference
        Mean points over the released counts, rounded.
    """

    feature: Feature
    cuts: NDArray[np.float64]
    weights: NDArray[np.int64]
    points: NDArray[np.int64]
    reference: int

    @property
    def missing(self) -> int:
        """Slot of a value that is missing, unreadable or unknown: the last but one."""
        return len(self.weights) - 2

    @property
    def neutral(self) -> int:
        """Slot of a feature whose whole block is not there: the last."""
        return len(self.weights) - 1

    @property
    def lost(self) -> NDArray[np.int64]:
        """Points that each slot takes away from the reference; negative where it adds some."""
        return self.reference - self.points


@dataclass(frozen=True, slots=True)
class ScoringCard:
    """What is needed to score.

    Attributes
    ----------
    view
        Institution type whose customers are scored.
    features
        Its features in dictionary order.
    base_weight
        Intercept in 1/1024 logit.
    base_points
        Base points of the points table.
    package
        Where it comes from.
    """

    view: str
    features: tuple[FeatureTable, ...]
    base_weight: int
    base_points: int
    package: ModelPackage

    @property
    def reference(self) -> int:
        """Score of a customer at every feature's reference."""
        return self.base_points + sum(table.reference for table in self.features)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks that score, in the dictionary's order."""
        return tuple(dict.fromkeys(table.feature.block for table in self.features))


def card_of(package: ModelPackage, view: str) -> ScoringCard:
    """Make a package ready for one institution type.

    Parameters
    ----------
    view
        Institution type, as `ModelPackage.view` gives it.
    """
    scale = package.head.scale.points_scale()
    rows = points_table(package.model.to_json(), scale)
    by_name = {feature.name: feature for feature in package.model.features}
    tables = tuple(
        _table(feature, by_name[feature.name], [row for row in rows if row.feature == feature.name])
        for feature in package.dictionary.owned_features(view)
    )
    base = next(row.points for row in rows if row.feature == BASE and row.label == view)
    return ScoringCard(view, tables, package.model.intercepts[view], base, package)


def probability(margin: int) -> float:
    """Probability of bad from a margin in 1/1024 logit."""
    return 1.0 / (1.0 + math.exp(-margin / 1024))


def _table(feature: Feature, released: ScorecardFeature, rows: Sequence[PointsRow]) -> FeatureTable:
    bin_of_cell = np.zeros(feature.n_cells, dtype=np.int64)
    for number, one in enumerate(released.bins):
        bin_of_cell[list(one.cells)] = number
    weights = np.array([one.weight for one in released.bins], dtype=np.int64)
    points = np.array([row.points for row in rows], dtype=np.int64)
    shares = _shares(released)
    mean_weight, reference = (round(float(shares @ values)) for values in (weights, points))
    # A category's codes all keep a slot of their own; a number's cells are joined where their bin is the same.
    values = bin_of_cell[: feature.missing_cell]
    kept = np.concatenate([[True], values[1:] != values[:-1]]) if feature.range else np.ones(len(values), np.bool_)
    slots = np.concatenate([values[kept], bin_of_cell[[feature.missing_cell]]])
    return FeatureTable(
        feature,
        feature.cuts[kept[1:]] if feature.range else feature.cuts,
        np.append(weights[slots], mean_weight),
        np.append(points[slots], reference),
        reference,
    )


def _shares(released: ScorecardFeature) -> NDArray[np.float64]:
    """Share of the population in each bin; noise may have made counts negative, which count as none."""
    counts = np.maximum([one.good + one.bad for one in released.bins], 0.0)
    total = float(np.add.reduce(counts))
    return counts / total if total else np.full(len(counts), 1 / len(counts))
