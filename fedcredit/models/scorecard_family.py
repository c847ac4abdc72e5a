"""The scorecard as a model family: the protocol's names for the functions of the scorecard modules."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import scorecard, scorecard_model
from fedcredit.models.family import TrainTerms
from fedcredit.models.scorecard import ScorecardState
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_release import release
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.preflight import Preflight


class ScorecardFamily:
    """Implements `fedcredit.models.family.Family`."""

    def terms(self, spec: ScorecardSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity: one residual in J_own + 1 coordinates."""
        plan = layout(spec.max_bins, dictionary)
        squared = {
            kind: spec.residual_scale**2 * (len(owned) + 1)
            for kind, owned in zip(dictionary.kinds, plan.owned, strict=True)
        }
        return TrainTerms(plan.length, spec.residual_scale, 1.0, squared)

    def owned_coordinates(self, spec: ScorecardSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
        """Coordinates of the type's features and of its intercept; shape (vector_length,)."""
        return layout(spec.max_bins, dictionary).owned_coordinates(dictionary.kinds.index(kind))

    def init(
        self,
        spec: ScorecardSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],
    ) -> ScorecardState:
        """Bins, starting weights and step filters from the released preflight."""
        return scorecard.init(spec, dictionary, preflight, noise_stddev)

    def broadcast(self, state: ScorecardState) -> bytes:
        """Canonical bytes of the model that custodians train on next."""
        return state.current.encode()

    def contribute(
        self, spec: ScorecardSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Exact integer sums of each institution's rows; shape (m, vector_length)."""
        received = scorecard_model.decode(spec, dictionary, model)
        return scorecard_model.contribute(spec, dictionary, kind, received, rows)

    def update(self, state: ScorecardState, sums: NDArray[np.int64]) -> ScorecardState:
        """One round: released sums in, next state out."""
        return scorecard.update(state, sums)

    def final(self, state: ScorecardState) -> bytes:
        """Canonical bytes of the released model."""
        return state.fitted.encode()

    def margins(
        self, spec: ScorecardSpec, dictionary: DataDictionary, view: str, model: bytes, cells: NDArray[np.uint16]
    ) -> NDArray[np.int64]:
        """Log-odds of bad in units of 1/1024 logit; shape (n,)."""
        received = scorecard_model.decode(spec, dictionary, model)
        return scorecard_model.margins(spec, dictionary, view, received, cells)

    def release(self, state: ScorecardState) -> dict[str, Any]:
        """The released model as JSON values."""
        return release(state).to_json()


FAMILY = ScorecardFamily()
