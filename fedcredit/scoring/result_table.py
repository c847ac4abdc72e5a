"""The columns of a table of scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.scoring.card import MOST_REASONS, ScoringCard
from fedcredit.scoring.decisions import verdict_of
from fedcredit.scoring.kernel import Scores
from fedcredit.scoring.reading import Flag


class ResultTable:
    """Puts scores into Arrow columns; names and texts are stored once and pointed at.

    Parameters
    ----------
    card
        What scored.
    run
        Beginning of the decision ids, which go on with the row's number.
    cut_off
        Smallest number of points that is approved; None for no verdict.
    """

    def __init__(self, card: ScoringCard, run: str, cut_off: int | None) -> None:
        package = card.package
        self._run, self._cut_off = run, cut_off
        features = [one.feature for one in card.features]
        self._names, self._texts = pa.array([f.name for f in features]), pa.array([f.reason for f in features])
        self._versions = {
            "package_hash": package.digest,
            "model_hash": package.model_hash,
            "dictionary_hash": package.head.dictionary,
        }

    def table(self, names: Any, scores: Scores, flags: Sequence[Flag], first: int) -> pa.Table:  # noqa: ANN401
        """One row per customer.

        Parameters
        ----------
        names
            Arrow column of the customers' ids; None for the row's number.
        first
            Number of rows before these.
        """
        n = len(scores.points)
        numbers = _arrow(np.arange(first + 1, first + n + 1)).cast(pa.string())
        named = numbers if names is None else names.cast(pa.string())
        columns: dict[str, Any] = {"id": named, "pd": scores.pd, "points": scores.points.astype(np.int32)}
        if self._cut_off is not None:
            verdicts = pa.array(
                [verdict_of(self._cut_off - 1, self._cut_off), verdict_of(self._cut_off, self._cut_off)]
            )
            columns["verdict"] = _named((scores.points >= self._cut_off).astype(np.int8), verdicts)
        for place in range(MOST_REASONS):
            columns |= self._reason(place, scores)
        columns["flags"] = _lists(flags, n)
        columns["decision_id"] = _joined(self._run, numbers)
        zeros = np.zeros(n, dtype=np.int8)
        for name, value in self._versions.items():
            columns[name] = _named(zeros, pa.array([value]))
        return pa.table(columns)

    def _reason(self, place: int, scores: Scores) -> dict[str, Any]:
        which = scores.reasons[:, place].astype(np.int16)
        none = which < 0
        named = _arrow(which, none)
        return {
            f"reason_{place + 1}": _named(named, self._names),
            f"reason_{place + 1}_text": _named(named, self._texts),
            f"reason_{place + 1}_points_lost": _arrow(scores.lost[:, place].astype(np.int32), none),
        }


def _lists(flags: Sequence[Flag], n_rows: int) -> Any:  # noqa: ANN401 - an Arrow array of lists
    """One list of labels per row, from the rows of each label."""
    rows = np.concatenate([np.zeros(0, np.int64), *(which for _, which in flags)])
    labels = np.repeat(np.arange(len(flags)), [len(which) for _, which in flags])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    order = np.argsort(rows, kind="stable")
    texts = pa.array([label for label, _ in flags], pa.string()).take(labels[order])
    return pa.ListArray.from_arrays(_arrow(offsets.astype(np.int32)), texts)


def _named(places: Any, names: Any) -> Any:  # noqa: ANN401
    return pa.DictionaryArray.from_arrays(places, names)


def _joined(run: str, numbers: Any) -> Any:  # noqa: ANN401
    join: Any = pc.binary_join_element_wise
    return join(pa.scalar(run), numbers, "-")


def _arrow(values: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> Any:  # noqa: ANN401 - stubs know no numpy
    return pa.array(values, mask=mask)
