"""The scorecard as a model family: the protocol's names for the functions of the scorecard modules."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import scorecard
from fedcredit.models.binned_family import BinnedFamily
from fedcredit.models.scorecard import ScorecardState
from fedcredit.models.scorecard_release import Scorecard, describe
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.preflight import Preflight


class ScorecardFamily(BinnedFamily):
    """Implements `fedcredit.models.family.Family`."""

    def init(
        self,
        spec: ScorecardSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],
        records: NDArray[np.float64],  # noqa: ARG002  (the released counts say how many records stand in each bin)
    ) -> ScorecardState:
        """Bins, starting weights and step filters from the released preflight."""
        return scorecard.init(spec, dictionary, preflight, noise_stddev)

    def broadcast(self, state: ScorecardState) -> bytes:
        """Canonical bytes of the model that custodians train on next."""
        return state.current.encode()

    def update(self, state: ScorecardState, sums: NDArray[np.int64]) -> ScorecardState:
        """One round: released sums in, next state out."""
        return scorecard.update(state, sums)

    def final(self, state: ScorecardState) -> bytes:
        """Canonical bytes of the released model."""
        return state.fitted.encode()

    def release(self, state: ScorecardState) -> dict[str, Any]:
        """The released model as JSON values."""
        return Scorecard(**describe(state.dictionary, state.layout, state.start, state.fitted.weights)).to_json()


FAMILY = ScorecardFamily()
