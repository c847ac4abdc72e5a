"""How far to trust a noisy gradient: a linear filter per feature, from the released counts and the noise alone.

If a feature's remaining error is drawn from N(0, C), its gradient is H times that error plus noise of variance V, and
the best linear estimate of the error is ``C H (H C H + V)^-1`` times the gradient: Newton's step where the
signal is strong, nothing where noise rules. C ties neighbouring bins together, so that a light bin borrows
from the bins beside it.

Arithmetic is elementwise NumPy in a fixed order. BLAS and LAPACK would give other last bits on other machines.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Correlation of the weights of neighbouring bins; .6 to .95 score alike on the reference data.
_NEIGHBOUR_CORRELATION = 0.85


def prior_covariance(variance: float, n_bins: int, n_ordered: int) -> Floats:
    """Covariance of a feature's weights: neighbours alike if ordered, others independent.

    Parameters
    ----------
    variance
        Variance of each weight.
    n_bins
        Number of bins B.
    n_ordered
        The first so many bins form a scale; the others (missing, categories) do not.

    Returns
    -------
    Floats
        Shape (B, B).
    """
    position = np.arange(n_bins)
    apart = np.abs(position[:, None] - position)
    both_ordered = np.maximum(position[:, None], position) < n_ordered
    correlation = np.where(both_ordered, _NEIGHBOUR_CORRELATION**apart, (apart == 0).astype(np.float64))
    return np.asarray(variance * correlation)


def smooth(values: Floats, variances: Floats, covariance: Floats) -> Floats:
    """Posterior mean of values seen with independent errors; shape (B,)."""
    seen = covariance + _diagonal(variances)
    return product(covariance, solve(seen, values[:, None])[:, 0])


def gradient_filter(information: Floats, variance: Floats, covariance: Floats) -> Floats:
    """Matrix that turns a feature's gradient into an estimate of its error, centred on both sides.

    Parameters
    ----------
    information
        Shape (B,), positive: curvature of the loss in each weight.
    variance
        Shape (B,), positive: variance of the gradient's noise over the whole training.
    covariance
        Shape (B, B): prior of the error.

    Returns
    -------
    Floats
        Shape (B, B). Centring leaves the constant to the intercepts.
    """
    scaled = information[:, None] * covariance
    seen = scaled * information + _diagonal(variance)
    # Both C and the matrix to invert are symmetric: C H A^-1 is the transpose of A^-1 H C.
    found = solve(seen, scaled).T
    share = information / np.add.reduce(information)
    rows_centred = found - np.add.reduce(share[:, None] * found, axis=0)
    return np.asarray(rows_centred - product(rows_centred, share)[:, None])


def solve(matrix: Floats, right: Floats) -> Floats:
    """Solve a symmetric positive definite system by elimination; shapes (B, B) and (B, K)."""
    a, b = matrix.copy(), right.copy()
    for i in range(len(a)):
        factor = (a[i + 1 :, i] / a[i, i])[:, None]
        a[i + 1 :] -= factor * a[i]
        b[i + 1 :] -= factor * b[i]
    for i in reversed(range(len(a))):
        b[i] = (b[i] - np.add.reduce(a[i, i + 1 :, None] * b[i + 1 :], axis=0)) / a[i, i]
    return b


def product(matrix: Floats, vector: Floats) -> Floats:
    """Matrix times vector in a fixed order of additions."""
    return np.asarray(np.add.reduce(matrix * vector, axis=1))


def _diagonal(values: Floats) -> Floats:
    return np.asarray(np.eye(len(values)) * values)
