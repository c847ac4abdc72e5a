"""Scorecard points: the weights on the scale that credit officers read.

A score is a base per institution type plus the points of one bin per feature. More points mean less risk; every
`points_to_double_odds` points double the odds of good.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 6 (scaling).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.models.scorecard_release import BINNED_FAMILIES, read_release

BASE = "base points"


@dataclass(frozen=True, slots=True)
class PointsScale:
    """The public scale.

    Attributes
    ----------
    base_score
        Score at `base_odds`.
    base_odds
        Good for each bad.
    points_to_double_odds
        PDO.
    """

    base_score: float = 600.0
    base_odds: float = 50.0
    points_to_double_odds: float = 20.0

    def __post_init__(self) -> None:
        values = (self.base_score, self.base_odds, self.points_to_double_odds)
        if not all(map(math.isfinite, values)) or min(self.base_odds, self.points_to_double_odds) <= 0:
            raise ConfigError(f"a points scale needs a finite base score, odds > 0 and PDO > 0, got {values}.")

    @property
    def factor(self) -> float:
        """Points per logit."""
        return self.points_to_double_odds / math.log(2)

    @property
    def offset(self) -> float:
        """Score at even odds."""
        return self.base_score - self.factor * math.log(self.base_odds)

    @property
    def sentence(self) -> str:
        """The scale in words."""
        return (
            f"{self.base_score:g} points mean odds of {self.base_odds:g} good to 1 bad; "
            f"{self.points_to_double_odds:g} points more double them."
        )


@dataclass(frozen=True, slots=True)
class PointsRow:
    """One line of the points table.

    Attributes
    ----------
    feature, bin, label
        Feature, number of its bin, and the bin in words; for base points `BASE` and the institution type.
    woe, iv
        Weight of evidence and part of the information value; 0 for base points.
    coefficient
        Log-odds of bad.
    points
        Points that the bin adds.
    scale_sentence
        The scale in words.
    """

    feature: str
    bin: int
    label: str
    woe: float
    iv: float
    coefficient: float
    points: int
    scale_sentence: str


def points_table(released: Mapping[str, Any], scale: PointsScale | None = None) -> tuple[PointsRow, ...]:
    """Turn a released scorecard or additive network into points.

    Parameters
    ----------
    released
        JSON value of a released model; other families have no points.
    scale
        600 points at odds of 50 to 1 and 20 points to double them, if not given.

    Returns
    -------
    tuple of PointsRow
        Base points of every institution type, then every bin in dictionary order.

    Raises
    ------
    ConfigError
        If the value calls itself one of the two and is not.
    """
    if released.get("family") not in BINNED_FAMILIES:
        return ()
    chosen = scale or PointsScale()
    model = read_release(released)
    unit = model.weight_scale
    base = [
        _row(chosen, BASE, index, kind, weight / unit, chosen.offset)
        for index, (kind, weight) in enumerate(model.intercepts.items())
    ]
    bins = [
        _row(chosen, feature.name, index, one.label, one.weight / unit, 0.0, (one.woe, one.iv))
        for feature in model.features
        for index, one in enumerate(feature.bins)
    ]
    return (*base, *bins)


def _row(
    scale: PointsScale,
    feature: str,
    index: int,
    label: str,
    coefficient: float,
    offset: float,
    evidence: tuple[float, float] = (0.0, 0.0),
) -> PointsRow:
    points = round(offset - scale.factor * coefficient)
    return PointsRow(feature, index, label, *evidence, coefficient, points, scale.sentence)
