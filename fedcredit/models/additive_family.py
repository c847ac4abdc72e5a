"""The additive network as a model family.

At the custodian it is a scorecard: the same bytes come in, the same sums go out, with the same exact sensitivity. Only
what the coordinator makes of them differs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import additive
from fedcredit.models.additive import AdditiveState
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.binned_family import BinnedFamily
from fedcredit.models.scorecard_release import AdditiveTable, describe
from fedcredit.preflight import Preflight


class AdditiveFamily(BinnedFamily):
    """Implements `fedcredit.models.family.Family`."""

    def init(
        self,
        spec: AdditiveSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],
        records: NDArray[np.float64],  # noqa: ARG002  (the released counts say how many records stand in each bin)
    ) -> AdditiveState:
        """Bins and starting networks from the released preflight."""
        return additive.init(spec, dictionary, preflight, noise_stddev)

    def broadcast(self, state: AdditiveState) -> bytes:
        """Canonical bytes of the table that custodians take the next gradient on."""
        return state.current.encode()

    def update(self, state: AdditiveState, sums: NDArray[np.int64]) -> AdditiveState:
        """One round: released sums in, next state out."""
        return additive.update(state, sums)

    def final(self, state: AdditiveState) -> bytes:
        """Canonical bytes of the released table."""
        return state.fitted.encode()

    def release(self, state: AdditiveState) -> dict[str, Any]:
        """The released table as JSON values."""
        return AdditiveTable(**describe(state.dictionary, state.layout, state.start, state.fitted.weights)).to_json()


FAMILY = AdditiveFamily()
