"""What scores a linked row: bins, and per file integer coefficients; and the histogram that a custodian counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.errors import WireError
from fedcredit.models.joint_bins import JointBins
from fedcredit.models.joint_bins import decode as decode_bins
from fedcredit.models.joint_layout import JointLayout
from fedcredit.models.joint_spec import COUNT_SCALE, FILES
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JointModel:
    """The joint view in integers.

    Attributes
    ----------
    bins
        Of both scores; the surface is constant within them.
    coefficients
        Shape (files, 3): intercept, slope and λ in units of 1/1024.
    surface
        Shape (K1, K2) of the layout: correction in units of 1/1024 logit.
    """

    bins: JointBins
    coefficients: Integers
    surface: Integers

    def encode(self) -> bytes:
        """Canonical bytes: bins, then coefficients and surface as i32, little-endian."""
        numbers = np.concatenate([self.coefficients.ravel(), self.surface.ravel()])
        return self.bins.encode() + numbers.astype("<i4").tobytes()


def decode(plan: JointLayout, model: bytes) -> JointModel:
    """Read what `JointModel.encode` wrote.

    Raises
    ------
    WireError
        Wrong length, or a number out of bounds.
    """
    n_bins = 2 * (len(plan.own_values) + len(plan.other_values))
    n_numbers = 3 * len(FILES) + plan.shape[0] * plan.shape[1]
    if len(model) != n_bins + 4 * n_numbers:
        raise WireError(
            f"a joint view for this plan has {n_bins + 4 * n_numbers} bytes, got {len(model)}; its sender is foreign."
        )
    numbers = np.frombuffer(model, "<i4", offset=n_bins).astype(np.int64)
    if np.any(np.abs(numbers) > MARGIN_LIMIT):
        raise WireError(f"numbers of a joint view must lie within ±{MARGIN_LIMIT}; refuse the sender.")
    coefficients, surface = numbers[: 3 * len(FILES)], numbers[3 * len(FILES) :]
    return JointModel(
        decode_bins(plan, model[:n_bins]), coefficients.reshape(-1, 3), surface.reshape(plan.shape[0], plan.shape[1])
    )


def margins(plan: JointLayout, model: JointModel, cells: NDArray[np.uint16]) -> Integers:
    """Exact log-odds of bad in units of 1/1024 logit; shape (n,).

    Parameters
    ----------
    cells
        Shape (n, 3): grid cells of own view, other block and file.
    """
    own, other = cells[:, 0], cells[:, 1]
    of_file: Integers = model.coefficients[_file(cells)]
    intercept, slope, weight = of_file[:, 0], of_file[:, 1], of_file[:, 2]
    scores: Integers = slope * plan.own_values[own] + weight * plan.other_values[other]
    # Whole-number division rounds down on every machine alike.
    linear = np.asarray(intercept + (scores + WEIGHT_SCALE // 2) // WEIGHT_SCALE, dtype=np.int64)
    correction: Integers = model.surface[model.bins.own[own], model.bins.other[other]]
    return linear + correction


def contribute(plan: JointLayout, bins: JointBins, rows: Rows) -> Integers:
    """Count each record into exactly one cell.

    Zeroing a record out changes one coordinate by `COUNT_SCALE`; changing its label changes two.

    Returns
    -------
    NDArray[np.int64]
        Shape (m, layout length), in lattice units.
    """
    place = np.repeat(np.arange(rows.n_institutions), np.diff(rows.offsets))
    own, other = bins.own[rows.cells[:, 0]], bins.other[rows.cells[:, 1]]
    parts: tuple[Integers, ...] = (own, other, _file(rows.cells), rows.bad.astype(np.int64))
    for part, size in zip(parts, plan.shape, strict=True):
        place = place * size + part
    counts = np.bincount(place, minlength=rows.n_institutions * plan.length)
    return counts.astype(np.int64).reshape(rows.n_institutions, plan.length) * COUNT_SCALE


def _file(cells: NDArray[np.uint16]) -> Integers:
    """Index of each row's file; a missing one counts as the last."""
    return np.minimum(cells[:, 2], len(FILES) - 1).astype(np.int64)
