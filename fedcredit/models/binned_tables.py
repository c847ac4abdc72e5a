"""What a kernel reads of a binned model for one institution type: two flat tables over the cells that it owns.

A cell's weight, and the coordinate of the training vector that it counts into. Bins are looked up once per model here,
and not once per record.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.binned_spec import BinnedSpec
from fedcredit.models.scorecard_layout import layout


@dataclass(frozen=True, slots=True)
class BinnedTables:
    """Tables over the cells of a type's features, feature by feature.

    Attributes
    ----------
    starts
        Shape (J_own + 1,): where each feature's cells begin, and the end.
    weights
        Shape (total cells,): units of 1/1024 logit.
    places
        Shape (total cells,): coordinate of the training vector.
    intercept
        Weight of the type's intercept.
    intercept_place
        Its coordinate.
    length
        Coordinates of a training vector.
    """

    starts: NDArray[np.int64]
    weights: NDArray[np.int64]
    places: NDArray[np.int64]
    intercept: int
    intercept_place: int
    length: int


def tables_of(
    spec: BinnedSpec,
    dictionary: DataDictionary,
    kind: str,
    bin_of_cell: tuple[NDArray[np.int64], ...],
    weights: NDArray[np.int64],
) -> BinnedTables:
    """Look up weight and coordinate of every cell that institutions of type `kind` own.

    Parameters
    ----------
    bin_of_cell, weights
        As in `fedcredit.models.scorecard_model.ScorecardModel`.
    """
    plan, owned = layout(spec.max_bins, dictionary), dictionary.owned(kind)
    places = [plan.slots[feature].start + bin_of_cell[feature] for feature in owned]
    flat = np.concatenate(places)
    intercept_place = plan.first_intercept + dictionary.kinds.index(kind)
    return BinnedTables(
        starts=np.cumsum([0, *(len(part) for part in places)]),
        weights=weights[flat],
        places=flat,
        intercept=int(weights[intercept_place]),
        intercept_place=intercept_place,
        length=plan.length,
    )
