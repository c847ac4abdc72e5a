"""What all families made of one table per feature share: everything that touches a record.

A record's residual stands in one bin of every owned feature and in its type's intercept, whatever the coordinator makes
of the sums; so custodians run one piece of code for all of them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import scorecard_model
from fedcredit.models.binned_kernel import NUMPY, BinnedKernel, binned_kernel_of
from fedcredit.models.binned_spec import BinnedSpec
from fedcredit.models.family import Kernel, TrainTerms
from fedcredit.models.scorecard_layout import layout


@dataclass(frozen=True)
class BinnedFamily:
    """The custodian's part of `fedcredit.models.family.Family`, and `KernelFamily`.

    Attributes
    ----------
    kernel
        What computes an institution's sums and scores.
    """

    kernel: BinnedKernel = NUMPY

    def computed_by(self, kernel: Kernel) -> Self:
        """The same integers by compiled code or torch."""
        return type(self)(binned_kernel_of(kernel))

    def terms(self, spec: BinnedSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity: one residual in J_own + 1 coordinates."""
        plan = layout(spec.max_bins, dictionary)
        squared = {
            kind: spec.residual_scale**2 * (len(owned) + 1)
            for kind, owned in zip(dictionary.kinds, plan.owned, strict=True)
        }
        return TrainTerms(plan.length, spec.residual_scale, 1.0, squared)

    def owned_coordinates(self, spec: BinnedSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
        """Coordinates of the type's features and of its intercept; shape (vector_length,)."""
        return layout(spec.max_bins, dictionary).owned_coordinates(dictionary.kinds.index(kind))

    def contribute(
        self, spec: BinnedSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Exact integer sums of each institution's rows; shape (m, vector_length)."""
        received = scorecard_model.decode(spec, dictionary, model)
        return scorecard_model.contribute(spec, dictionary, kind, received, rows, self.kernel)

    def margins(
        self, spec: BinnedSpec, dictionary: DataDictionary, view: str, model: bytes, cells: Cells
    ) -> NDArray[np.int64]:
        """Log-odds of bad in units of 1/1024 logit; shape (n,)."""
        received = scorecard_model.decode(spec, dictionary, model)
        return scorecard_model.margins(spec, dictionary, view, received, cells, self.kernel)
