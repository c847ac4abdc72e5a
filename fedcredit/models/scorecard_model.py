"""What a custodian is sent and what it does with it: bins, integer weights, and sums of integer residuals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import WireError
from fedcredit.models.binned_kernel import NUMPY, BinnedKernel
from fedcredit.models.binned_spec import BinnedSpec
from fedcredit.models.binned_tables import tables_of
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE


@dataclass(frozen=True, slots=True)
class ScorecardModel:
    """Bins and weights.

    Attributes
    ----------
    bin_of_cell
        Per feature shape (n_cells,): grid cell to bin. An array of numbers, so bins cannot overlap.
    weights
        Shape (layout length,): units of 1/1024 logit; positive raises the probability of bad.
    """

    bin_of_cell: tuple[NDArray[np.int64], ...]
    weights: NDArray[np.int64]

    def encode(self) -> bytes:
        """Canonical bytes: all bins as u16, then all weights as i32, little-endian."""
        bins = b"".join(bins.astype("<u2").tobytes() for bins in self.bin_of_cell)
        return bins + self.weights.astype("<i4").tobytes()


def to_integers(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nearest weights that a model can have, in units of 1/1024 logit; any shape, logits."""
    return np.clip(np.rint(weights * WEIGHT_SCALE), -MARGIN_LIMIT, MARGIN_LIMIT).astype(np.int64)


def on_grid(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same in logits: the gradient that comes back belongs to exactly these weights."""
    return np.asarray(to_integers(weights) / WEIGHT_SCALE)


def decode(spec: BinnedSpec, dictionary: DataDictionary, model: bytes) -> ScorecardModel:
    """Read a model's bytes.

    Raises
    ------
    WireError
        Wrong length, a bin or weight out of bounds, or a weight on a bin that no cell has.
    """
    plan = layout(spec.max_bins, dictionary)
    cells = [feature.n_cells for feature in dictionary.features]
    expected = 2 * sum(cells) + 4 * plan.length
    if len(model) != expected:
        raise WireError(f"a scorecard for this plan has {expected} bytes, got {len(model)}; its sender is foreign.")
    ends = np.cumsum(cells)
    bins = np.split(np.frombuffer(model, "<u2", ends[-1]).astype(np.int64), ends[:-1])
    weights = np.frombuffer(model, "<i4", offset=2 * int(ends[-1])).astype(np.int64)
    used = np.zeros(plan.length, dtype=np.bool_)
    used[plan.first_intercept :] = True
    for feature, slots, of_cell in zip(dictionary.features, plan.slots, bins, strict=True):
        if of_cell.max() >= slots.stop - slots.start:
            limit = slots.stop - slots.start
            raise WireError(
                f"scorecard bin {of_cell.max()} of {feature.name} must be below {limit}; refuse the sender."
            )
        used[slots.start + of_cell] = True
    if np.any(np.abs(weights) > MARGIN_LIMIT) or np.any(weights[~used]):
        raise WireError(f"scorecard weights must lie within ±{MARGIN_LIMIT}, and be 0 where no bin is.")
    return ScorecardModel(tuple(bins), weights)


def margins(
    spec: BinnedSpec,
    dictionary: DataDictionary,
    kind: str,
    model: ScorecardModel,
    cells: Cells,
    kernel: BinnedKernel = NUMPY,
) -> NDArray[np.int64]:
    """Exact log-odds of bad from one institution type's columns, in units of 1/1024 logit.

    Parameters
    ----------
    cells
        Shape (n, J_own): grid cells of the type's features, in dictionary order.
    kernel
        What adds the weights up; the integers are the same.

    Returns
    -------
    NDArray[np.int64]
        Shape (n,).
    """
    return kernel.margins(tables_of(spec, dictionary, kind, model.bin_of_cell, model.weights), cells)


def contribute(
    spec: BinnedSpec,
    dictionary: DataDictionary,
    kind: str,
    model: ScorecardModel,
    rows: Rows,
    kernel: BinnedKernel = NUMPY,
) -> NDArray[np.int64]:
    """Sum the integer residuals of each institution's records over the cells that they fall into.

    A record adds its residual q, |q| <= s, to one coordinate per owned feature and to its type's intercept, so
    zeroing it out changes the vector by exactly ``q**2 * (J_own + 1)`` in squared L2 norm.

    Parameters
    ----------
    kernel
        What computes the sums; the integers are the same.

    Returns
    -------
    NDArray[np.int64]
        Shape (m, layout length); zeros where the type owns nothing.
    """
    tables = tables_of(spec, dictionary, kind, model.bin_of_cell, model.weights)
    return kernel.residual_sums(tables, spec.residual_scale, rows.cells, rows.bad, rows.offsets)
