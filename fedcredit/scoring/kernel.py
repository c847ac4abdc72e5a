"""Scores of many customers at once: compare, count, look up, add; integers throughout, so the order does not matter.

A bin has few cuts, so counting how many of them a value reaches costs less than a binary search: every comparison runs
over a whole column of a block of rows that stays in the processor's cache. Weight and points of a slot are looked up as
one integer, and the four heaviest reasons are kept by an insertion network of minima and maxima over the features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.scoring.card import MOST_REASONS, FeatureTable, ScoringCard

Column = NDArray[np.float64] | NDArray[np.uint16] | None
"""Numbers in the dictionary's unit, NaN where missing; a category's cells; None where the block is not there."""

BLOCK_ROWS = 8192
NO_REASON = -1
# Points stand in the lower half of a packed integer, weights in the upper half; sums of both stay far within.
_HALF = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n customers.

    Attributes
    ----------
    margins
        Shape (n,): log-odds of bad in 1/1024 logit.
    points
        Shape (n,).
    reasons
        Shape (n, 4): positions of the features that take points away, most first, `NO_REASON` behind the last.
    lost
        Shape (n, 4): points that each takes away.
    """

    margins: NDArray[np.int64]
    points: NDArray[np.int64]
    reasons: NDArray[np.int64]
    lost: NDArray[np.int64]

    @property
    def pd(self) -> NDArray[np.float64]:
        """Probability of bad; shape (n,)."""
        return np.asarray(1.0 / (1.0 + np.exp(self.margins * (-1 / 1024))))


class TableScorer:
    """Scores columns of values.

    Parameters
    ----------
    card
        The package, made ready for an institution type.
    """

    def __init__(self, card: ScoringCard) -> None:
        self.card = card
        self._packed = [(one.weights << _HALF) + one.points for one in card.features]
        self._stride = len(card.features) + 1
        keys = [_keys(one, place, self._stride) for place, one in enumerate(card.features)]
        highest = max(int(key.max()) for key in keys)
        self._keys = [key.astype(np.int16 if highest < 2**15 else np.int64) for key in keys]

    def score(self, columns: Sequence[Column], n_rows: int) -> Scores:
        """Score rows.

        Parameters
        ----------
        columns
            One per feature of the card, in its order, each of shape (n_rows,).
        """
        sums = np.empty(n_rows, dtype=np.int64)
        best = np.empty((MOST_REASONS, n_rows), dtype=self._keys[0].dtype)
        for start in range(0, n_rows, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, n_rows))
            self._score_block([None if one is None else one[rows] for one in columns], sums[rows], best[:, rows])
        points = ((sums + (1 << (_HALF - 1))) & ((1 << _HALF) - 1)) - (1 << (_HALF - 1))
        base = self.card
        reasons = np.where(best > 0, self._stride - 1 - best % self._stride, NO_REASON)
        return Scores(
            ((sums - points) >> _HALF) + base.base_weight,
            points + base.base_points,
            reasons.T.astype(np.int64),
            (best // self._stride).T.astype(np.int64),
        )

    def _score_block(self, columns: Sequence[Column], sums: NDArray[np.int64], best: NDArray[np.int_]) -> None:
        sums[:] = 0
        best[:] = 0
        found, key = np.empty_like(sums), np.empty_like(best[0])
        smaller = np.empty_like(key)
        for table, column, packed, keys in zip(self.card.features, columns, self._packed, self._keys, strict=True):
            if column is None:
                sums += packed[table.neutral]
                continue
            slots = _slots(table, column)
            # Slots are within bounds; a mode other than "raise" spares a buffer.
            sums += np.take(packed, slots, out=found, mode="clip")
            np.take(keys, slots, out=key, mode="clip")
            for kept in best:
                np.minimum(kept, key, out=smaller)
                np.maximum(kept, key, out=kept)
                key, smaller = smaller, key


def _slots(table: FeatureTable, column: NDArray[np.float64] | NDArray[np.uint16]) -> NDArray[np.intp]:
    if table.feature.range is None:
        return column.astype(np.intp)
    count = np.zeros(len(column), dtype=np.uint8 if len(table.cuts) < 2**8 else np.uint16)
    reached = np.empty(len(column), dtype=np.bool_)
    as_number = reached.view(np.uint8)
    for cut in table.cuts:
        np.greater_equal(column, cut, out=reached)
        np.add(count, as_number, out=count)
    slots = count.astype(np.intp)
    finite = np.isfinite(column)
    if not finite.all():
        slots[~finite] = table.missing
    return slots


def _keys(table: FeatureTable, place: int, stride: int) -> NDArray[np.int64]:
    """Sortable reasons: more points first, then the feature that stands earlier; 0 where nothing is taken away."""
    return np.where(table.lost > 0, table.lost * stride + stride - 1 - place, 0)
