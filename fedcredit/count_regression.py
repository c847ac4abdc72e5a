"""Logistic regression on released counts: the weights know how much of each count is noise.

A cell holds noisy numbers of goods and bads. Its residual ``bad - (good + bad) p`` is linear in them, so noise moves it
without bias; its variance is that of sampling plus that of the noise. Each cell is weighted by the share of its
variance that is sampling (the optimal estimating function for that variance), and a Gaussian prior takes over where
nothing is left: under heavy noise the answer is the prior's. All of it is post-processing of one release.

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
        Shape (C, P): what each coefficient is multiplied by.
    good, bad
        Shape (C,): released counts in records; may be negative.
    expected
        Shape (C,), not negative: about how many records are in the cell, from more than the cell's own noisy counts.
    noise_variance
        Variance of the noise on one count, in records²; 0 without privacy.
    """

    design: Floats
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
        score, information = _equations(cells, values)
        step = solve(information + prior_precision, (score - product(prior_precision, values - prior_mean))[:, None])
        largest = float(np.max(np.abs(step)))
        values = values + step[:, 0] / max(1.0, largest)
        if largest < _CLOSE:
            break
    information = _equations(cells, values)[1]
    return Coefficients(values, solve(information + prior_precision, np.eye(len(values))))


def sampling_share(cells: CellCounts, probability: Floats) -> tuple[Floats, Floats]:
    """Per cell the curvature ``n p (1 - p)``, and which share of the residual's variance it is; shapes (C,)."""
    curvature = cells.expected * probability * (1 - probability)
    noise = cells.noise_variance * (probability**2 + (1 - probability) ** 2)
    return curvature, curvature / np.maximum(curvature + noise, 1e-12)


def probabilities(design: Floats, values: Floats) -> Floats:
    """Probability of bad in each cell; shape (C,)."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(product(design, values), -30.0, 30.0))))


def _equations(cells: CellCounts, values: Floats) -> tuple[Floats, Floats]:
    p = probabilities(cells.design, values)
    curvature, share = sampling_share(cells, p)
    residual = share * (cells.bad - (cells.good + cells.bad) * p)
    score = np.add.reduce(residual[:, None] * cells.design, axis=0)
    weighted = (share * curvature)[:, None] * cells.design
    return score, np.add.reduce(weighted[:, :, None] * cells.design[:, None, :], axis=0)
