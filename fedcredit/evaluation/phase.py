"""Phase evaluate: the released model's score histogram on the evaluation rows, in one charged release.

The request carries the model and the range of the score bins; their number is the plan's. A record adds 1 to one
cell per grouping, so its row has L2 norm sqrt(G). The first grouping is the institution type, so the overall
histogram is the sum over it. The others name a feature or a group label, or two of them (``sex*region``): a record
still stands in one cell of a product.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary, Feature, Group
from fedcredit.errors import ConfigError, WireError
from fedcredit.evaluation.histogram import accumulate
from fedcredit.evaluation.score_grid import ScoreGrid, bin_of, room_for, score_bins
from fedcredit.models.family import Kernel, family_of
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import EvaluationTerms

MARGIN_SCALE = 1024
_HEADER = struct.Struct("<ii")
MOST_PRODUCT_CELLS = 64
"""A product of two labels has at most so many cells: in more, noise is all that most of them would hold."""


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """What a custodian needs to score: the model's bytes and the range of the score bins in margin units."""

    low: int
    high: int
    model: bytes

    def encode(self) -> bytes:
        """Two little-endian int32, then the model."""
        return _HEADER.pack(self.low, self.high) + self.model

    def grid(self, evaluation: EvaluationTerms) -> ScoreGrid:
        """The public score bins."""
        return score_bins(evaluation.score_bins, self.low / MARGIN_SCALE, self.high / MARGIN_SCALE, MARGIN_SCALE)


def decode(payload: bytes) -> ScoredModel:
    """Read what `ScoredModel.encode` wrote.

    Raises
    ------
    WireError
        If the bytes are truncated or the range is empty.
    """
    if len(payload) < _HEADER.size:
        raise WireError(f"an evaluation request of {len(payload)} bytes is truncated; send it again.")
    low, high = _HEADER.unpack_from(payload)
    if not -(2**20) <= low < high <= 2**20:
        raise WireError(f"score range {low} to {high} is not usable; it must rise and lie within ±1024 logits.")
    return ScoredModel(low, high, payload[_HEADER.size :])


def group_sizes(dictionary: DataDictionary, evaluation: EvaluationTerms) -> tuple[int, ...]:
    """Number of groups of each grouping.

    Raises
    ------
    ConfigError
        If a grouping names neither ``type`` nor a feature nor a group, or a product has too many cells.
    """
    return tuple(_group_size(dictionary, grouping) for grouping in evaluation.groupings)


def vector_length(dictionary: DataDictionary, evaluation: EvaluationTerms) -> int:
    """Coordinates of an evaluation vector."""
    return 2 * evaluation.score_bins * sum(group_sizes(dictionary, evaluation))


def owned_coordinates(dictionary: DataDictionary, evaluation: EvaluationTerms, kind: str) -> NDArray[np.bool_]:
    """Coordinates that an institution type can count into; shape (vector_length,)."""
    groups = [
        np.array([name == kind for name in dictionary.institution_types])
        if grouping == "type"
        else np.full(size, all(_owns(dictionary, kind, name) for name in labels_of(grouping)))
        for grouping, size in zip(evaluation.groupings, group_sizes(dictionary, evaluation), strict=True)
    ]
    return np.repeat(np.concatenate(groups), 2 * evaluation.score_bins)


def count(
    spec: ModelSpec,
    dictionary: DataDictionary,
    evaluation: EvaluationTerms,
    kind: str,
    payload: bytes,
    rows: Rows,
    kernel: Kernel = "numpy",
) -> NDArray[np.int64]:
    """Exact score histograms of each institution's rows.

    Parameters
    ----------
    kernel
        What scores the rows; the integers are the same.

    Returns
    -------
    ndarray of int64, shape (m, vector_length)
        Per grouping, group, class (good, bad) and score bin.

    Raises
    ------
    WireError
        If the payload does not fit the plan.
    """
    scored = decode(payload)
    if not room_for(evaluation.score_bins, scored.low, scored.high):
        raise WireError(f"{evaluation.score_bins} score bins do not fit between {scored.low} and {scored.high}.")
    margins = family_of(spec.family, kernel).margins(spec, dictionary, kind, scored.model, rows.cells)
    bins = bin_of(scored.grid(evaluation), margins)
    parts = []
    for grouping, size in zip(evaluation.groupings, group_sizes(dictionary, evaluation), strict=True):
        group = _groups(dictionary, kind, grouping, rows)
        if group is None:
            parts.append(np.zeros((rows.n_institutions, 2 * size * evaluation.score_bins), dtype=np.int64))
            continue
        counts = accumulate(bins, group, rows.bad, rows.offsets, size, evaluation.score_bins)
        parts.append(counts.reshape(rows.n_institutions, -1))
    return np.concatenate(parts, axis=1)


def read_release(
    dictionary: DataDictionary, evaluation: EvaluationTerms, sums: NDArray[np.int64], scale: int
) -> dict[str, NDArray[np.float64]]:
    """Split released lattice sums into one array (n_groups, 2, B) per grouping, in records."""
    sizes = group_sizes(dictionary, evaluation)
    ends = np.cumsum([2 * size * evaluation.score_bins for size in sizes])
    parts = np.split(sums.astype(np.float64) / scale, ends[:-1])
    return {
        grouping: part.reshape(size, 2, evaluation.score_bins)
        for grouping, size, part in zip(evaluation.groupings, sizes, parts, strict=True)
    }


def labels_of(grouping: str) -> tuple[str, ...]:
    """The labels that a grouping is made of: one, or the two of a product."""
    return tuple(grouping.split("*"))


def _group_size(dictionary: DataDictionary, grouping: str) -> int:
    if grouping == "type":
        return len(dictionary.institution_types)
    labels = labels_of(grouping)
    if len(labels) > 2 or len(set(labels)) != len(labels):
        raise ConfigError(f"grouping {grouping!r} is no product of two different labels; write for example sex*region.")
    size = math.prod(label_called(dictionary, name).n_cells for name in labels)
    if len(labels) == 2 and size > MOST_PRODUCT_CELLS:
        raise ConfigError(
            f"grouping {grouping!r} has {size} cells, more than {MOST_PRODUCT_CELLS}; group by labels with fewer codes."
        )
    return size


def _groups(dictionary: DataDictionary, kind: str, grouping: str, rows: Rows) -> NDArray[np.int64] | None:
    if grouping == "type":
        return np.full(rows.n_rows, list(dictionary.institution_types).index(kind), dtype=np.int64)
    labels = labels_of(grouping)
    if not all(_owns(dictionary, kind, name) for name in labels):
        return None
    group = np.zeros(rows.n_rows, dtype=np.int64)
    for name in labels:
        group = group * label_called(dictionary, name).n_cells + _cells(dictionary, kind, name, rows)
    return group


def label_called(dictionary: DataDictionary, name: str) -> Feature | Group:
    """The feature or group of that name.

    Raises
    ------
    ConfigError
        If the dictionary has none.
    """
    labels: list[Feature | Group] = [*dictionary.features, *dictionary.groups]
    for label in labels:
        if label.name == name:
            return label
    known = ", ".join(("type", *dictionary.feature_names, *(group.name for group in dictionary.groups)))
    raise ConfigError(f"grouping {name!r} is neither 'type' nor a feature nor a group; choose among: {known}.")


def _owns(dictionary: DataDictionary, kind: str, name: str) -> bool:
    label = label_called(dictionary, name)
    if isinstance(label, Feature):
        return label.block in dictionary.institution_type(kind).owns
    return kind in label.owners


def _cells(dictionary: DataDictionary, kind: str, name: str, rows: Rows) -> NDArray[np.int64]:
    """Cell of each row by one label that the type owns; the missing one where the rows hold no labels."""
    label = label_called(dictionary, name)
    if isinstance(label, Feature):
        return rows.cells[:, dictionary.owned_features(kind).index(label)].astype(np.int64)
    if rows.groups is None:
        return np.full(rows.n_rows, label.n_cells - 1, dtype=np.int64)
    return rows.groups[:, dictionary.owned_groups(kind).index(label)].astype(np.int64)
