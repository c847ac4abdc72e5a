"""A model's bins as rules on raw values: what every export is made of.

A rule holds for a number below an end (or up to it), for some codes, or for whatever is missing. The ends are the
dictionary's own cuts, so an exported model puts every value where the custodians put it.
"""

import math
from dataclasses import dataclass

from fedcredit.dictionary.schema import Feature
from fedcredit.package.contents import ModelPackage
from fedcredit.scoring.card import FeatureTable, ScoringCard, card_of


@dataclass(frozen=True, slots=True)
class NumberRule:
    """Numbers that no earlier rule took and that are below an end, or not above it; the last one takes the rest.

    Attributes
    ----------
    end
        None for the last.
    inclusive
        Whether the end itself belongs to it: the next number in float64 after an atom is written as "up to the atom".
    """

    end: float | None
    inclusive: bool
    weight: int
    points: int


@dataclass(frozen=True, slots=True)
class CodeRule:
    """One code of a category."""

    code: str
    weight: int
    points: int


@dataclass(frozen=True, slots=True)
class FeatureRules:
    """All rules of a feature, in the order in which they are tried.

    Attributes
    ----------
    missing_codes
        Raw codes that mean "not known"; tried first.
    missing
        Weight and points of what is missing, unreadable or unknown.
    """

    feature: Feature
    missing_codes: tuple[str, ...]
    numbers: tuple[NumberRule, ...]
    codes: tuple[CodeRule, ...]
    missing: tuple[int, int]


def rules_of(package: ModelPackage, view: str) -> tuple[ScoringCard, tuple[FeatureRules, ...]]:
    """Rules of every feature that scores an institution type's customers, and the card they come from."""
    card = card_of(package, view)
    return card, tuple(_rules(table) for table in card.features)


def _rules(table: FeatureTable) -> FeatureRules:
    feature = table.feature
    values = list(zip(table.weights.tolist(), table.points.tolist(), strict=True))
    missing = values[table.missing]
    if feature.range is None:
        codes = tuple(CodeRule(code, *value) for code, value in zip(feature.codes, values, strict=False))
        return FeatureRules(feature, feature.missing_codes, (), codes, missing)
    ends = [*map(_end, table.cuts.tolist()), (None, False)]
    numbers = tuple(NumberRule(*end, *value) for end, value in zip(ends, values, strict=False))
    return FeatureRules(feature, feature.missing_codes, numbers, (), missing)


def _end(cut: float) -> tuple[float, bool]:
    """``x < cut``, or ``x <= atom`` where the cut is the next number after one that is shorter to write."""
    before = math.nextafter(cut, -math.inf)
    return (before, True) if len(repr(before)) < len(repr(cut)) else (cut, False)
