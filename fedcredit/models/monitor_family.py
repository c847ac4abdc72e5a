"""A released model under watch, as a model family: preflight and one charged score histogram over new records.

Nothing is learnt. Preflight counts the features of the new records as it does for every job, so a feature's drift costs
nothing more; the one "training" round counts goods and bads per score bin of a model that the plan holds. A record adds
1 to one cell, so the sensitivity is that of one count. Guard, noise, masks, ledger, verification and outbox are those
of every other job.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import WireError
from fedcredit.evaluation.histogram import accumulate
from fedcredit.evaluation.score_grid import ScoreGrid, bin_of, score_bins
from fedcredit.models.family import TrainTerms, family_of
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.preflight import Preflight
from fedcredit.wire.canonical import digest

COUNT_SCALE = 1024


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What was released so far.

    Attributes
    ----------
    noise_stddev
        Shape (vector_length,): noise on each count, in records.
    counts
        Shape (types, 2, B): goods and bads per score bin, in records; None before the round.
    """

    spec: MonitorSpec
    dictionary: DataDictionary
    noise_stddev: NDArray[np.float64]
    counts: NDArray[np.float64] | None = None


class MonitorFamily:
    """Implements `fedcredit.models.family.Family`."""

    def terms(self, spec: MonitorSpec, dictionary: DataDictionary) -> TrainTerms:
        """One count per record."""
        length = 2 * spec.score_bins * len(dictionary.kinds)
        return TrainTerms(length, COUNT_SCALE, 1.0, dict.fromkeys(dictionary.kinds, COUNT_SCALE**2))

    def owned_coordinates(self, spec: MonitorSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
        """The type's own histogram; shape (vector_length,)."""
        return np.repeat([own == kind for own in dictionary.kinds], 2 * spec.score_bins)

    def init(
        self,
        spec: MonitorSpec,
        dictionary: DataDictionary,
        preflight: Preflight,  # noqa: ARG002  (stands beside the release as it is)
        noise_stddev: NDArray[np.float64],
        records: NDArray[np.float64],  # noqa: ARG002  (nothing is divided by them)
    ) -> MonitorState:
        """Nothing is known of the new scores."""
        return MonitorState(spec, dictionary, noise_stddev)

    def broadcast(self, state: MonitorState) -> bytes:
        """The model under watch."""
        return state.spec.model_bytes

    def contribute(
        self, spec: MonitorSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Exact score histogram of each institution's rows; shape (m, vector_length)."""
        bins = bin_of(score_grid(spec), self.margins(spec, dictionary, kind, model, rows.cells))
        group = np.full(rows.n_rows, dictionary.kinds.index(kind), dtype=np.int64)
        counts = accumulate(bins, group, rows.bad, rows.offsets, len(dictionary.kinds), spec.score_bins)
        return counts.reshape(rows.n_institutions, -1) * COUNT_SCALE

    def update(self, state: MonitorState, sums: NDArray[np.int64]) -> MonitorState:
        """Read the one round."""
        shape = (len(state.dictionary.kinds), 2, state.spec.score_bins)
        return replace(state, counts=sums.reshape(shape) / COUNT_SCALE)

    def final(self, state: MonitorState) -> bytes:
        """The model under watch, as it was."""
        return state.spec.model_bytes

    def margins(
        self, spec: MonitorSpec, dictionary: DataDictionary, view: str, model: bytes, cells: NDArray[np.uint16]
    ) -> NDArray[np.int64]:
        """Log-odds of bad in units of 1/1024 logit; shape (n,).

        Raises
        ------
        WireError
            If the model is another one than the plan's.
        """
        if model != spec.model_bytes:
            raise WireError("the request brings another model than the one that the plan watches; refuse the sender.")
        return family_of(spec.scored.family).margins(spec.scored, dictionary, view, model, cells)

    def release(self, state: MonitorState) -> dict[str, Any]:
        """The score histogram as JSON values, with the noise that stands on each count."""
        kinds = state.dictionary.kinds
        noise = state.noise_stddev.reshape(len(kinds), -1)[:, 0]
        return {
            "family": "monitor",
            "version": 1,
            "trained_by": state.spec.trained_by,
            "model_sha256": digest("model", state.spec.model_bytes).hex(),
            "score_edges": list(score_grid(state.spec).edges),
            "weight_scale": WEIGHT_SCALE,
            "groups": list(kinds),
            "noise_stddev": noise.tolist(),
            "counts": None if state.counts is None else state.counts.tolist(),
        }


def score_grid(spec: MonitorSpec) -> ScoreGrid:
    """The public score bins, those of the release that the new records are compared with."""
    low, high = spec.score_low / WEIGHT_SCALE, spec.score_high / WEIGHT_SCALE
    return score_bins(spec.score_bins, low, high, WEIGHT_SCALE)


FAMILY = MonitorFamily()
