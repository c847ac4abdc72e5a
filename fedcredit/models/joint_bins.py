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
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.models.step_filter import smooth
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]
N_NODES = 5
"""Scores by which a bin is represented."""

_FEWEST = 2
# Distance in logits over which the density of a score changes.
_REACH = 0.5
# Standard deviations of scores, in logits, before any are seen; the block's part is a score's smaller part.
_OWN_SPREAD, _OTHER_SPREAD = 1.0, 0.75


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


def density(
    counts: Floats, values: NDArray[np.int64], noise_stddev: float, records: float, expected: tuple[float, float]
) -> Floats:
    """Records in each value cell, smoothed as far as there is noise; shape (n_cells - 1,), not negative.

    Parameters
    ----------
    counts
        Shape (n_cells, 2): released goods and bads of each grid cell, the missing one last.
    values
        Shape (n_cells,): score of each cell in units of 1/1024 logit.
    records
        Public number of records, to which noisy counts are lowered: setting negative ones to 0 alone would fill the
        empty ends of the scale.
    expected
        Where scores of a portfolio lie, in logits, before the counts are seen: a middle and a standard deviation.
    """
    totals = counts[:-1].sum(axis=1)
    noise = 2 * noise_stddev**2
    if not noise:
        return np.asarray(np.maximum(totals, 0.0))
    logits = values[:-1] / WEIGHT_SCALE
    bell = np.exp(-(((logits - expected[0]) / expected[1]) ** 2) / 2)
    bell *= records / np.add.reduce(bell)
    apart = (logits[:, None] - logits) / _REACH
    covariance = bell[:, None] * bell * np.exp(-(apart**2) / 2)
    seen = bell + smooth(totals - bell, np.full(len(totals), noise), covariance)
    return _lowered(seen, records)


def densities(plan: JointLayout, preflight: Preflight, records: float) -> tuple[Floats, Floats]:
    """`density` of own view and other block."""
    (own, other, files), noise = preflight.counts, preflight.noise_stddev
    rate = base_rate(files)
    middle = float(np.log(rate / (1 - rate)))
    return (
        density(own, plan.own_values, noise[0], records, (middle, _OWN_SPREAD)),
        density(other, plan.other_values, noise[1], records, (0.0, _OTHER_SPREAD)),
    )


def _lowered(values: Floats, total: float) -> Floats:
    """The nearest values that are not negative and sum to `total`: all lowered by one number, and cut at 0."""
    falling = np.sort(values)[::-1]
    excess = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    held = np.flatnonzero(falling > excess)
    return np.asarray(np.maximum(values - excess[held[-1] if len(held) else 0], 0.0))


def numbers_of_bins(most: tuple[int, int], records: float, rate: float, noise_variance: float) -> tuple[int, int]:
    """How many bins of own view and other block tell the most about the weight of the other block.

    The own view takes twice as many: what it says within a wide bin would be taken for the other block's.

    Parameters
    ----------
    most
        The layout's numbers.
    records
        Public number of records.
    rate
        Share of bads.
    noise_variance
        Of one released count.
    """
    choices = [(min(2 * k, most[0]), k) for k in range(_FEWEST, most[1] + 1)]

    def told(bins: tuple[int, int]) -> float:
        curvature = records * rate * (1 - rate) / (bins[0] * bins[1])
        noise = noise_variance * (rate**2 + (1 - rate) ** 2)
        # Equal bins of a normal score keep about 1 - K^-1.5 of its variance.
        kept = (1 - bins[0] ** -1.5) * (1 - bins[1] ** -1.5)
        return float(kept * curvature / max(curvature + noise, 1e-12))

    return max(choices, key=told)


def equal_bins(mass: Floats, n_bins: int) -> NDArray[np.int64]:
    """Grid cell to bin, about equal in mass; shape (len(mass) + 1,), the missing cell last, with the middle bin."""
    total = float(np.add.reduce(mass))
    reached = np.cumsum(mass) - mass / 2
    wanted = np.minimum((reached * n_bins / max(total, 1e-12)).astype(np.int64), n_bins - 1)
    # A cell that holds more than one bin's share leaves a number out.
    bins = np.unique(wanted, return_inverse=True)[1].astype(np.int64)
    return np.append(bins, bins[int(np.searchsorted(reached, total / 2).clip(0, len(bins) - 1))])


def choose(
    plan: JointLayout, masses: tuple[Floats, Floats], rate: float, records: float, noise_stddev: float
) -> JointBins:
    """Bins of both scores for the one training message.

    Parameters
    ----------
    masses
        Of `densities`.
    rate
        Share of bads.
    records
        Public number of training records.
    noise_stddev
        Of one count of that message, in records.
    """
    numbers = numbers_of_bins((plan.shape[0], plan.shape[1]), records, rate, noise_stddev**2)
    own, other = (equal_bins(mass, number) for mass, number in zip(masses, numbers, strict=True))
    return JointBins(own, other)


def bin_nodes(mass: Floats, bins: NDArray[np.int64], values: NDArray[np.int64]) -> Floats:
    """Scores that stand for each bin's records, each for the same share of them; logits, shape (B, `N_NODES`)."""
    weight, logits = mass, values[:-1] / WEIGHT_SCALE
    out = []
    for label in range(int(bins.max()) + 1):
        inside = bins[:-1] == label
        here = weight[inside] if np.add.reduce(weight[inside]) > 0 else np.ones(int(inside.sum()))
        reached = (np.cumsum(here) - here / 2) / np.add.reduce(here)
        out.append(np.interp((np.arange(N_NODES) + 0.5) / N_NODES, reached, logits[inside]))
    return np.stack(out)
