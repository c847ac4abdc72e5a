r"""From the factors of per-record gradients to their clipped integer sum, without forming a gradient.

A record's integer gradient of a layer is d̂ ⊗ (â, s): what the layer read, in whole units of 1/s, times its signal,
clipped and truncated towards zero in whole units of s/scale. Its squared norm over all layers, and over all parts of
the first, is Σ |d̂|²·(|â|² + s²), a whole number, compared with the squared radius without rounding: floats only choose
the direction. Nothing is raised and no path is taken for the sake of one record.

Why nothing overflows or rounds, with s = 2^10 and the radius R < 2^27 by the plan's ranges. Each |â|² + s² is a whole
number from 2^20 to 2^53; in a part of the first layer a bit of the record's own stands for the s². Only the encoder of
a block that is not there has read nothing: its |â|² is 0, hence its gradient too, and `drop_unread` drops it first.
Any other passes if |d̂|² ≤ R²/(|â|² + s²) < 2^34; float64 adds squares exactly below 2^53 and only upwards, so what it
holds to be that small is that small. Each product that passed is at most R² < 2^54. The layer above the encoders reads
at most 2^8 units (`mlp_exact.MOST_UNITS`), so there are at most 2^8 encoders and four layers above: fewer than 2^9
products, which add up to less than 2^63. Of a record that passes, each coordinate is at most R, so the sum of 2^24
records is below 2^53: exact as a float64 matrix product in any order.

References
----------
Goodfellow, "Efficient Per-Example Gradient Computations", arXiv 1510.01799.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_exact import squared_norms
from fedcredit.models.mlp_gradients import ACTIVATION_SCALE, Signals, backward, forward, input_slices
from fedcredit.models.mlp_layout import Layer, n_first

# Shorter by more than the rounding of a float64 norm (2^-45), and by less than 1e-11 of it.
SHAVED = 1 - 2.0**-40


@dataclass(frozen=True, slots=True)
class ClippedFactors:
    """Integer factors of the clipped gradients of some records, as whole float64 numbers.

    Attributes
    ----------
    values
        Per layer what it reads, shape (inputs, n), in units of 1/`INPUT_SCALE`; of the first layer part by part.
    signals
        Likewise, shape (outputs, n) each.
    n_first
        Number of parts of the first layer.
    """

    values: tuple[NDArray[np.float64], ...]
    signals: tuple[NDArray[np.float64], ...]
    n_first: int

    def sum(self, records: slice) -> NDArray[np.int64]:
        """Sum of the integer gradients of some records, at most 2^26; shape (vector_length,)."""
        parts: list[NDArray[np.float64]] = []
        for index, (values, signals) in enumerate(zip(self.values, self.signals, strict=True)):
            parts.append((signals[:, records] @ values[:, records].T).ravel())
            if index >= self.n_first:  # the first layer has no biases
                parts.append(signals[:, records].sum(axis=1) * INPUT_SCALE)
        return np.concatenate(parts).astype(np.int64)


def clipped_factors(
    layers: Sequence[Layer], inputs: NDArray[np.float64], bad: NDArray[np.uint8], scale: int, radii: NDArray[np.int64]
) -> ClippedFactors:
    """Clip each record's gradient of the logistic loss and put its factors on the lattice.

    Parameters
    ----------
    layers
        Weights and biases in weight units, the parts of the first layer first.
    inputs
        Shape (n_inputs, n), in input units.
    bad
        Shape (n,): 1 = bad, 0 = good.
    scale
        Lattice units per unit of gradient, a multiple of `INPUT_SCALE`.
    radii
        Shape (n,): largest L2 norm of each record's integer gradient, in lattice units.
    """
    hidden, logits = forward(layers, inputs)
    first = layers[: n_first(layers)]
    read = (np.rint(part * (INPUT_SCALE / ACTIVATION_SCALE)) for part in hidden)
    values = (*input_slices(first, inputs), *read)
    sizes = factor_sizes(values, len(first))
    signals = drop_unread(backward(layers, hidden, logits, bad), sizes, len(first))
    truncated = truncate(signals, sizes, scale // INPUT_SCALE, radii)
    del signals  # its memory is used again at once
    return ClippedFactors(values, hold_norm(truncated, sizes, radii), len(first))


def clipped_sums(
    layers: Sequence[Layer],
    inputs: NDArray[np.float64],
    bad: NDArray[np.uint8],
    scale: int,
    radii: NDArray[np.int64],
    parts: Sequence[slice],
) -> list[NDArray[np.int64]]:
    """Sum of the clipped integer gradients of each part of the records; shape (vector_length,) each.

    A `fedcredit.models.mlp_kernel.ClippedSums`: the definition, in NumPy.
    """
    factors = clipped_factors(layers, inputs, bad, scale, radii)
    return [factors.sum(part) for part in parts]


def factor_sizes(values: Sequence[NDArray[np.float64]], n_first: int) -> list[NDArray[np.float64]]:
    """Squared norm of (â, s) per layer, of â alone in the first; shape (n,) each, whole numbers below 2^53.

    A part that reads nothing has 1, to divide by.
    """
    norms = [squared_norms(part) for part in values]
    return [*(np.maximum(part, 1.0) for part in norms[:n_first]), *(part + INPUT_SCALE**2 for part in norms[n_first:])]


def drop_unread(signals: list[Signals], sizes: Sequence[NDArray[np.float64]], n_first: int) -> list[Signals]:
    """Signals without those of parts of the first layer that read nothing; a single part always reads a bit."""
    if n_first == 1:
        return signals
    parts = zip(signals[:n_first], sizes[:n_first], strict=True)
    kept = (Signals(part.integers * (size > 1), part.steps) for part, size in parts)
    return [*kept, *signals[n_first:]]


def truncate(
    signals: Sequence[Signals], sizes: Sequence[NDArray[np.float64]], scale: int, radii: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Shrink each record's signals until its gradient is within the radius, then truncate them towards zero.

    Parameters
    ----------
    sizes
        From `factor_sizes`.
    scale
        Lattice units per unit of signal.
    """
    norms = np.zeros(len(sizes[0]))
    for part, size in zip(signals, sizes, strict=True):
        step = part.steps * scale
        step *= step
        step *= size
        norms += squared_norms(part.integers) * step
    within = radii * SHAVED
    factors = scale * (within / np.maximum(np.sqrt(norms), within))
    shrunk = [part.integers * (part.steps * factors) for part in signals]
    return [np.trunc(part, out=part) for part in shrunk]


def hold_norm(
    signals: Sequence[NDArray[np.float64]], sizes: Sequence[NDArray[np.float64]], radii: NDArray[np.int64]
) -> tuple[NDArray[np.float64], ...]:
    """Zero every record whose integer norm exceeds its radius.

    After `truncate` there is none; the sensitivity must not rest on floating point.
    """
    squares = np.stack([squared_norms(part) for part in signals])
    whole = np.stack(sizes).astype(np.int64)
    fits = squares <= radii**2 // whole
    total = (np.where(fits, squares, 0.0).astype(np.int64) * whole).sum(axis=0)
    within = fits.all(axis=0) & (total <= radii**2)
    held = tuple(part.copy() for part in signals)
    for part in held:
        np.copyto(part, 0.0, where=~within)
    return held
