"""Ratios of weighted sums of released counts, with 95 % intervals: rates, mean scores, profit per applicant.

Every rate of a report is ``a·c / b·c`` with public weights a and b over released cells c. A cell's variance is the
sum of its sampling part (Poisson: the count itself) and the noise of the cells that it adds up. The interval is
Fieller's, which holds for noisy denominators, too; where the denominator cannot be told from the noise there is no
figure. Eight records more than were counted stand in the sampling variance, two in each cell of a rate, so that an
empty cell keeps an interval (Agresti and Coull 1998).
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.figure import Figure, fieller, unknown

Floats = NDArray[np.float64]

NOTHING = "no records, or too few for the noise"
_ADDED, _MOST_ADDED = 8.0, 2.0


def ratio(numerator: Floats, denominator: Floats, counts: Floats, noise_variance: Floats) -> Figure:
    """The figure ``numerator·counts / denominator·counts``.

    Parameters
    ----------
    numerator, denominator
        Public weights; shape (K,).
    counts
        Released counts, noise included; shape (K,).
    noise_variance
        Variance of the noise on each; shape (K,).
    """
    above, below = float((numerator * counts).sum()), float((denominator * counts).sum())
    if below <= 0:
        return unknown(NOTHING)
    variance = np.maximum(counts, 0.0) + min(_MOST_ADDED, _ADDED / len(counts)) + noise_variance
    moments = [float((variance * x * y).sum()) for x, y in _pairs(numerator, denominator)]
    ends = fieller(above, below, *moments)
    if ends is None:
        return unknown(NOTHING)
    value = above / below
    squared = (numerator - value * denominator) ** 2
    sampling, noise = (float((part * squared).sum()) for part in (np.maximum(counts, 0.0), noise_variance))
    return Figure(value, *ends, math.sqrt(sampling) / below, math.sqrt(noise) / below)


def _pairs(numerator: Floats, denominator: Floats) -> tuple[tuple[Floats, Floats], ...]:
    return (numerator, numerator), (denominator, denominator), (numerator, denominator)
