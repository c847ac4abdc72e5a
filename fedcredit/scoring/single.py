"""One customer's score in plain Python: what the kernel for tables does, spelled out, and fast enough for a service.

Raw values are read by the rules of `fedcredit.data.columns`: trimmed, whole numbers in one spelling, no guessing.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.dictionary.schema import Feature
from fedcredit.errors import DataError
from fedcredit.scoring.card import MOST_REASONS, FeatureTable, ScoringCard, probability

Value = float | str | None
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_WHOLE = re.compile(r"\+?(-?[0-9]+)(\.0*)?", re.ASCII)
_MINUS_ZERO = re.compile(r"-0+", re.ASCII)
_BLANKS = " \t\n\f\r"


@dataclass(frozen=True, slots=True)
class LostPoints:
    """A reason: a feature of the dictionary, and how many points it takes away."""

    feature: str
    text: str
    points_lost: int


@dataclass(frozen=True, slots=True)
class Score:
    """A customer's score.

    Attributes
    ----------
    margin
        Log-odds of bad in 1/1024 logit.
    points
        Sum of the points table's entries.
    lost
        Points that each feature takes away from its reference, in dictionary order; they and the score add up to the
        card's reference.
    flags
        What was unusual: ``range:NAME`` outside the declared range, ``code:NAME`` unknown code, ``text:NAME`` no
        number, ``block:NAME`` not given.
    """

    margin: int
    points: int
    lost: tuple[int, ...]
    flags: tuple[str, ...]

    @property
    def pd(self) -> float:
        """Probability of bad."""
        return probability(self.margin)


class SingleScorer:
    """Scores one customer at a time.

    Parameters
    ----------
    card
        The package, made ready for an institution type.
    """

    def __init__(self, card: ScoringCard) -> None:
        self.card = card
        # Plain lists: an element of an array takes ten times as long to read.
        self._tables = [
            (one, one.cuts.tolist(), one.weights.tolist(), one.lost.tolist(), _codes(one.feature))
            for one in card.features
        ]
        self._known = frozenset(one.feature.name for one in card.features)
        self._reference = card.reference

    def score(self, values: Mapping[str, Value]) -> Score:
        """Score one customer.

        Parameters
        ----------
        values
            By feature, in the dictionary's unit; one that is left out, or None, is missing. A block none of whose
            features is named is not there.

        Raises
        ------
        DataError
            If a name is no feature of this institution type.
        """
        unknown = values.keys() - self._known
        if unknown:
            raise DataError(f"{sorted(unknown)[0]!r:.80} is no feature of a {self.card.view}; remove or rename it.")
        given = {one.feature.block for one, *_ in self._tables if one.feature.name in values}
        margin, lost, flags = self.card.base_weight, [], []
        for table, cuts, weights, lost_of_slot, codes in self._tables:
            slot = table.neutral
            if table.feature.block in given:
                slot, flag = _slot(table, cuts, codes, values.get(table.feature.name))
                flags += [flag] if flag else []
            margin += weights[slot]
            lost.append(lost_of_slot[slot])
        flags += [f"block:{block}" for block in self.card.blocks if block not in given]
        return Score(margin, self._reference - sum(lost), tuple(lost), tuple(flags))

    def reasons(self, score: Score, most: int = MOST_REASONS) -> tuple[LostPoints, ...]:
        """Features that take points away, most first; ties keep the dictionary's order."""
        order = sorted((j for j, lost in enumerate(score.lost) if lost > 0), key=lambda j: -score.lost[j])
        features = [self._tables[j][0].feature for j in order[:most]]
        return tuple(
            LostPoints(feature.name, feature.reason, score.lost[j])
            for feature, j in zip(features, order[:most], strict=True)
        )


def _codes(feature: Feature) -> dict[str, int]:
    """Code → its slot, missing codes at -1; for a number the missing codes only."""
    return {**{code: slot for slot, code in enumerate(feature.codes)}, **dict.fromkeys(feature.missing_codes, -1)}


def _slot(table: FeatureTable, cuts: list[float], codes: dict[str, int], value: Value) -> tuple[int, str]:
    """The slot of a value, and a flag or nothing."""
    feature = table.feature
    if value is None:
        return table.missing, ""
    if feature.range is None:
        return _category(table, codes, code_text(value))
    number = _number(value)
    if (codes and code_text(value) in codes) or _blank(value, number):
        return table.missing, ""
    if number is None or not math.isfinite(number):
        return table.missing, f"text:{feature.name}"
    low, high = feature.range
    return bisect_right(cuts, number), "" if low <= number <= high else f"range:{feature.name}"


def _category(table: FeatureTable, codes: dict[str, int], text: str) -> tuple[int, str]:
    slot = codes.get(text)
    if slot is None:
        return table.missing, f"code:{table.feature.name}" if text else ""
    return (table.missing if slot < 0 else slot), ""


def _blank(value: float | str, number: float | None) -> bool:
    if isinstance(value, str):
        return not value.strip(_BLANKS)
    return number is not None and math.isnan(number)


def code_text(value: float | str) -> str:
    """A value as codes are compared: trimmed, whole numbers in one spelling."""
    text = value.strip(_BLANKS) if isinstance(value, str) else repr(value)
    whole = _WHOLE.fullmatch(text)
    text = whole[1] if whole else text
    return "0" if _MINUS_ZERO.fullmatch(text) else text


def _number(value: float | str) -> float | None:
    if not isinstance(value, str):
        return float(value)
    text = value.strip(_BLANKS)
    return float(text) if _NUMBER.fullmatch(text) else None
