"""Logistic regression on released counts: the weights know how much of each count is noise.

A cell holds noisy numbers of goods and bads. Its residual ``bad - (good + bad) p`` is linear in them, so noise moves it
without bias; its variance is that of sampling plus that of the noise. Each cell is weighted by the inverse of that
variance (the optimal estimating function), and a Gaussian prior takes over where nothing is left: under heavy noise the
answer is the prior's. A cell stands for all scores inside it, so its probability is a mean over nodes: the probability
at the mean score would be off wherever a cell is wide. All of it is post-processing of one release.

Arithmetic is elementwise NumPy in a fixed order, without BLAS, as everywhere at the coordinator.

References
----------
Godambe, "An Optimum Property of Regular Maximum Likelihood Estimation", Ann. Math. Statist. 31, 1960.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.step_filter import product, solve

Floats = NDArray[np.float64]
_MOST_STEPS = 100
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class CellCounts:
    """What was released of each cell, and what is known of it besides.

    Attributes
    ----------
    design
        Shape (C, M, P): at each of a cell's M nodes, what each coefficient is multiplied by.
    shares
        Shape (C, M): which share of the cell's records each node stands for; sums to 1 over nodes.
    good, bad
        Shape (C,): released counts in records; may be negative.
    expected
        Shape (C,), not negative: about how many records are in the cell, from more than the cell's own noisy counts.
    noise_variance
        Variance of the noise on one count, in records²; 0 without privacy.
    """

    design: Floats
    shares: Floats
    good: Floats
    bad: Floats
    expected: Floats
    noise_variance: float


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients in logits, shape (P,), and their posterior covariance, shape (P, P)."""

    values: Floats
    covariance: Floats

    @property
    def stddev(self) -> Floats:
        """Standard deviation of each coefficient; shape (P,)."""
        return np.sqrt(np.diagonal(self.covariance))


@dataclass(frozen=True, slots=True)
class Residuals:
    """What the counts say against some coefficients.

    Attributes
    ----------
    value
        Shape (C,): bads beyond those that were to be expected.
    variance
        Shape (C,): of `value`, from sampling and noise.
    slope
        Shape (C, P): expected bads per unit of each coefficient.
    """

    value: Floats
    variance: Floats
    slope: Floats


def fit(cells: CellCounts, prior_mean: Floats, prior_precision: Floats) -> Coefficients:
    """Find the coefficients that the counts and the prior agree on.

    Parameters
    ----------
    prior_mean, prior_precision
        Shapes (P,) and (P, P); the precision must be positive definite.

    Returns
    -------
    Coefficients
        After Newton steps of at most 1 in any coefficient.
    """
    values = prior_mean.copy()
    for _ in range(_MOST_STEPS):
        score, information = _equations(residuals(cells, values))
        step = solve(information + prior_precision, (score - product(prior_precision, values - prior_mean))[:, None])
        largest = float(np.max(np.abs(step)))
        values = values + step[:, 0] / max(1.0, largest)
        if largest < _CLOSE:
            break
    information = _equations(residuals(cells, values))[1]
    return Coefficients(values, solve(information + prior_precision, np.eye(len(values))))


def residuals(cells: CellCounts, values: Floats) -> Residuals:
    """Compare the released counts with what the coefficients predict."""
    logits = np.clip(np.add.reduce(cells.design * values, axis=2), -30.0, 30.0)
    at_node = 1.0 / (1.0 + np.exp(-logits))
    p = np.add.reduce(cells.shares * at_node, axis=1)
    weight = cells.expected[:, None] * cells.shares * at_node * (1 - at_node)
    noise = cells.noise_variance * (p**2 + (1 - p) ** 2)
    return Residuals(
        cells.bad - (cells.good + cells.bad) * p,
        np.maximum(cells.expected * p * (1 - p) + noise, 1e-12),
        np.add.reduce(weight[:, :, None] * cells.design, axis=1),
    )


def _equations(found: Residuals) -> tuple[Floats, Floats]:
    """Estimating function and its expected slope; shapes (P,) and (P, P)."""
    weighted = found.slope / found.variance[:, None]
    score = np.add.reduce(weighted * found.value[:, None], axis=0)
    return score, np.add.reduce(weighted[:, :, None] * found.slope[:, None, :], axis=0)
