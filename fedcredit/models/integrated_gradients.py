r"""What each input adds to a smooth score: its derivative, averaged on the straight way from a baseline.

Input i of a customer x gets (x_i − b_i) ∫₀¹ ∂f/∂x_i(b + t(x − b)) dt, and these values add up to f(x) − f(b). The
integral is taken by Gauss and Legendre's rule on panels of the way. A panel is halved until its values add up to the
rise of the score over it, and until halving moves no value any more: the first alone would miss a rise in one feature
that a fall in another hides. So a steep unit costs panels where it is steep and nowhere else, and the nodes depend on
nothing but the model and the record.

References
----------
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, arXiv 1703.01365.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], tuple[Floats, Floats]]
"""From points, shape (inputs, n), to their scores, shape (n,), and the derivatives, shaped as the points."""

NODES = 16
"""Of the rule, per panel."""
FIRST_PANELS = 1
MOST_HALVINGS = 14
TOLERANCE = 1e-9
"""Logits, per panel: a thousand panels keep a sum within 1e-6."""
_PANELS_AT_ONCE = 2**8  # bounds memory, not the result


def integrated_gradients(score: Score, start: Floats, end: Floats) -> Floats:
    """Take the rise of a score between two points apart.

    Parameters
    ----------
    score
        Continuous and smooth but for kinks, each point by itself.
    start, end
        Shape (inputs, n): baseline and customer.

    Returns
    -------
    ndarray, shape (inputs, n)
        Per customer what each input adds. The sum misses the rise by a few `TOLERANCE`; by more only where the score
        still jumps between neighbours of the finest nodes.
    """
    values = np.zeros(end.shape)
    owners = np.repeat(np.arange(end.shape[1]), FIRST_PANELS)
    begins, width = np.tile(np.arange(FIRST_PANELS) / FIRST_PANELS, end.shape[1]), 1.0 / FIRST_PANELS
    coarse, _ = _panels(score, start, end, owners, begins, width)
    for _ in range(MOST_HALVINGS):
        width /= 2
        pairs = np.repeat(owners, 2)
        halves = np.column_stack([begins, begins + width]).ravel()
        fine, missed = _panels(score, start, end, pairs, halves, width)
        both = fine[:, ::2] + fine[:, 1::2]
        rough = np.abs(both - coarse).max(axis=0, initial=0.0) > TOLERANCE
        rough |= np.maximum(missed[::2], missed[1::2]) > TOLERANCE
        np.add.at(values.T, owners[~rough], both[:, ~rough].T)
        again = np.repeat(rough, 2)
        owners, begins, coarse = pairs[again], halves[again], fine[:, again]
        if not len(owners):
            return values
    np.add.at(values.T, owners, coarse.T)
    return values


def _panels(
    score: Score, start: Floats, end: Floats, owners: NDArray[np.int64], begins: Floats, width: float
) -> tuple[Floats, Floats]:
    """Values of each panel, shape (inputs, panels), and by how much their sum misses the rise, shape (panels,)."""
    values, missed = np.empty((len(end), len(owners))), np.empty(len(owners))
    for first in range(0, len(owners), _PANELS_AT_ONCE):
        part = slice(first, first + _PANELS_AT_ONCE)
        values[:, part], missed[part] = _rule(
            score, start[:, owners[part]], (end - start)[:, owners[part]], begins[part], width
        )
    return values, missed


def _rule(score: Score, start: Floats, way: Floats, begins: Floats, width: float) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # The panel's two ends have no weight: they only tell the rise.
    at = begins[:, None] + width * np.concatenate([[0.0], (1 + nodes) / 2, [1.0]])
    points = start[:, :, None] + way[:, :, None] * at
    scores, slopes = score(points.reshape(len(way), -1))
    rise = scores.reshape(at.shape)[:, -1] - scores.reshape(at.shape)[:, 0]
    means = slopes.reshape(points.shape)[:, :, 1:-1] @ (weights / 2)
    values = way * width * means
    return values, np.abs(values.sum(axis=0) - rise)
