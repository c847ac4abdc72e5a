"""Bins of the two scores: chosen from the released preflight, sent to the custodians, read back there.

Bins hold about equal numbers of records, since that costs a regression on a score the least. Few bins lose a little of
what the scores say; many bins put noise on every cell. Both losses follow from public numbers, so their number does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.binning import base_rate
from fedcredit.errors import WireError
from fedcredit.models.joint_layout import JointLayout
from fedcredit.models.step_filter import smooth
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]
_FEWEST = 2
# Correlation of the densities of neighbouring grid cells, which are a small part of the scores' spread.
_NEIGHBOUR_CORRELATION = 0.95


@dataclass(frozen=True, slots=True)
class JointBins:
    """Grid cell to bin, of the own view and of the other block; shapes (n_cells,)."""

    own: NDArray[np.int64]
    other: NDArray[np.int64]

    def encode(self) -> bytes:
        """Canonical bytes: both as u16, little-endian."""
        return self.own.astype("<u2").tobytes() + self.other.astype("<u2").tobytes()


def decode(plan: JointLayout, model: bytes) -> JointBins:
    """Read what `JointBins.encode` wrote.

    Raises
    ------
    WireError
        Wrong length, or a bin out of bounds.
    """
    n_own, n_other = len(plan.own_values), len(plan.other_values)
    if len(model) != 2 * (n_own + n_other):
        raise WireError(
            f"bins of a joint view take {2 * (n_own + n_other)} bytes here, got {len(model)}; their sender is foreign."
        )
    bins = np.frombuffer(model, "<u2").astype(np.int64)
    own, other = bins[:n_own], bins[n_own:]
    if own.max() >= plan.shape[0] or other.max() >= plan.shape[1]:
        raise WireError(f"bins {own.max()} and {other.max()} must be below {plan.shape[:2]}; refuse the sender.")
    return JointBins(own, other)


def density(counts: Floats, noise_stddev: float) -> Floats:
    """Records in each value cell, smoothed as far as there is noise; shape (n_cells - 1,), not negative.

    Parameters
    ----------
    counts
        Shape (n_cells, 2): released goods and bads of each grid cell, the missing one last.
    """
    totals = counts[:-1].sum(axis=1)
    noise = 2 * noise_stddev**2
    if not noise:
        return np.maximum(totals, 0.0)
    signal = max(float(np.add.reduce(totals**2)) / len(totals) - noise, noise / 100)
    place = np.arange(len(totals))
    covariance = signal * _NEIGHBOUR_CORRELATION ** np.abs(place[:, None] - place)
    return np.maximum(smooth(totals, np.full(len(totals), noise), covariance), 0.0)


def number_of_bins(most: int, records: float, rate: float, noise_variance: float) -> int:
    """How many bins of each score tell the most about the weight of one beside the other.

    Parameters
    ----------
    records
        Public number of records.
    rate
        Share of bads.
    noise_variance
        Of one released count.
    """

    def told(bins: int) -> float:
        curvature = records * rate * (1 - rate) / bins**2
        noise = noise_variance * (rate**2 + (1 - rate) ** 2)
        # Equal bins of a normal score keep about 1 - K^-1.5 of its variance.
        return float((1 - bins**-1.5) ** 2 * curvature / max(curvature + noise, 1e-12))

    return max(range(_FEWEST, most + 1), key=told)


def equal_bins(mass: Floats, n_bins: int) -> NDArray[np.int64]:
    """Grid cell to bin, about equal in mass; shape (len(mass) + 1,), the missing cell last, with the middle bin."""
    total = float(np.add.reduce(mass))
    reached = np.cumsum(mass) - mass / 2
    bins = np.minimum((reached * n_bins / max(total, 1e-12)).astype(np.int64), n_bins - 1)
    return np.append(bins, bins[int(np.searchsorted(reached, total / 2).clip(0, len(bins) - 1))])


def choose(plan: JointLayout, preflight: Preflight, records: float, noise_stddev: float) -> JointBins:
    """Bins of both scores for the one training message.

    Parameters
    ----------
    records
        Public number of training records.
    noise_stddev
        Of one count of that message, in records.
    """
    rate = base_rate(preflight.counts[2])
    masses = [density(preflight.counts[i], preflight.noise_stddev[i]) for i in (0, 1)]
    own, other = (
        equal_bins(mass, number_of_bins(most, records, rate, noise_stddev**2))
        for mass, most in zip(masses, plan.shape[:2], strict=True)
    )
    return JointBins(own, other)


def bin_values(mass: Floats, bins: NDArray[np.int64], values: NDArray[np.int64]) -> Floats:
    """Mean score of each bin, in logits; shape (B,). A bin without mass stands at the middle of its cells."""
    weight = np.append(mass, 0.0)
    weight = np.where(np.bincount(bins, weights=weight)[bins] > 0, weight, 1.0)
    sums = np.bincount(bins, weights=weight * values / 1024)
    return np.asarray(sums / np.maximum(np.bincount(bins, weights=weight), 1e-12))
