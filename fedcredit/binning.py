"""From released class counts to bins, weights of evidence and information value.

Bins are runs of neighbouring grid cells. Light bins tell more about noise than about risk, so they are merged with
the neighbour whose bad rate differs least in units of the noise; an atom such as 0 that is heavy enough stays by
itself. Everything here is post-processing of one release.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 6 (WoE, IV). Kerber, "ChiMerge", AAAI 1992 (merging by test).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A bin must stand out of the noise of a single cell's total; below twice of it, an empty cell passes for a full one.
_NOISE_MULTIPLES = 2.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the released counts say about each bin, in logits of bad against the base rate.

    Attributes
    ----------
    value
        Shape (B,): log-odds of bad in the bin minus overall.
    variance
        Shape (B,): variance of `value` from noise and from sampling.
    information
        Shape (B,): curvature of the logistic loss, ``n p (1 - p)`` at the base rate p; at least 1 % of the feature's.
    """

    value: Floats
    variance: Floats
    information: Floats


def choose_bins(counts: Floats, noise_stddev: float, max_bins: int, min_share: float) -> NDArray[np.int64]:
    """Merge neighbouring grid cells until every bin is heavy enough.

    Parameters
    ----------
    counts
        Shape (n_cells, 2): noisy goods and bads; the last cell is "missing". May be negative.
    noise_stddev
        Standard deviation of the noise on one count.
    max_bins
        Most bins, at least 1.
    min_share
        Smallest share of all records in a bin.

    Returns
    -------
    NDArray[np.int64]
        Shape (n_cells,): grid cell to bin. Value bins are numbered in order; "missing" has the last bin to itself if
        it is heavy enough, else it joins the heaviest.
    """
    total = counts.sum()
    floor = max(min_share * total, _NOISE_MULTIPLES * np.sqrt(2.0) * noise_stddev)
    own_missing = len(counts) > 1 and max_bins > 1 and counts[-1].sum() >= max(floor, 1.0)
    runs = _merge(counts[:-1], noise_stddev, max_bins - int(own_missing), floor)
    bins = np.empty(len(counts), dtype=np.int64)
    bins[:-1] = np.repeat(np.arange(len(runs)), [stop - start for start, stop in runs])
    masses = [counts[start:stop].sum() for start, stop in runs]
    bins[-1] = len(runs) if own_missing else int(np.argmax(masses)) if masses else 0
    return bins


def bin_counts(counts: Floats, bins: NDArray[np.int64]) -> Floats:
    """Add cells up to bins; shape (B, 2)."""
    return np.stack([np.bincount(bins, weights=counts[:, label]) for label in (0, 1)], axis=1)


def base_rate(counts: Floats) -> float:
    """Share of bads, kept off 0 and 1 by half a record; 1/2 where nothing was counted."""
    n = max(float(counts.sum()), 0.0)
    bads = min(max(float(counts[..., 1].sum()), 0.0), n)
    return (bads + 0.5) / (n + 1.0)


def evidence(counts: Floats, cells_per_bin: NDArray[np.int64], noise_stddev: float) -> Evidence:
    """Weigh each bin's bad rate against the base rate.

    Parameters
    ----------
    counts
        Shape (B, 2): noisy goods and bads of each bin.
    cells_per_bin
        Shape (B,): number of noisy cells in each.
    noise_stddev
        Standard deviation of the noise on one cell's count.
    """
    p = base_rate(counts)
    n = np.maximum(counts.sum(axis=1), 1.0)
    # A rate is believed down to an eighth of the base rate (likewise from above): noise may go below zero.
    rate = np.clip((counts[:, 1] + 0.5 * p) / (n + 0.5), p / 8, 1 - (1 - p) / 8)
    h = n * (p * (1 - p))
    noise = ((1 - p) ** 2 + p**2) * noise_stddev**2 * cells_per_bin
    return Evidence(
        value=np.log(rate / (1 - rate)) - np.log(p / (1 - p)),
        variance=(noise + h) / h**2,
        information=np.maximum(h, 0.01 * h.sum()),
    )


def weight_of_evidence(counts: Floats) -> Floats:
    """Classic weights of evidence, ``ln((good_b / good) / (bad_b / bad))``; shape (B,).

    Counts below half a record, which noise can produce, count as half a record.
    """
    shares = _shares(counts)
    return np.asarray(np.log(shares[:, 0] / shares[:, 1]))


def information_value(counts: Floats) -> Floats:
    """Each bin's part of the information value, ``(good_b / good - bad_b / bad) * WoE``; shape (B,), never negative."""
    shares = _shares(counts)
    return np.asarray((shares[:, 0] - shares[:, 1]) * np.log(shares[:, 0] / shares[:, 1]))


def _shares(counts: Floats) -> Floats:
    believed = np.maximum(counts, 0.5)
    return np.asarray(believed / believed.sum(axis=0))


def _merge(counts: Floats, noise_stddev: float, max_bins: int, floor: float) -> list[tuple[int, int]]:
    """Half-open runs of value cells, in order."""
    runs = [(i, i + 1) for i in range(len(counts))]
    p = base_rate(counts)
    while len(runs) > 1:
        totals = np.array([counts[start:stop].sum(axis=0) for start, stop in runs])
        masses = totals.sum(axis=1)
        lightest = int(np.argmin(masses))
        if masses[lightest] >= max(floor, 1.0) and len(runs) <= max_bins:
            break
        distance = _distances(totals, np.array([stop - start for start, stop in runs]), p, noise_stddev)
        left = int(np.argmin(distance))
        if masses[lightest] < max(floor, 1.0):
            left = _nearer(lightest, distance)
        runs[left : left + 2] = [(runs[left][0], runs[left + 1][1])]
    return runs


def _nearer(run: int, distance: Floats) -> int:
    """Left one of the pair that joins a run to its more similar neighbour."""
    if run == 0 or run == len(distance):
        return max(run - 1, 0)
    return run - 1 if distance[run - 1] < distance[run] else run


def _distances(totals: Floats, n_cells: NDArray[np.int64], p: float, noise_stddev: float) -> Floats:
    """Difference of neighbouring bad rates in standard deviations; shape (B - 1,)."""
    h = np.maximum(totals.sum(axis=1), 1.0) * (p * (1 - p))
    excess = (totals[:, 1] - p * totals.sum(axis=1)) / h
    variance = (((1 - p) ** 2 + p**2) * noise_stddev**2 * n_cells + h) / h**2
    return np.asarray(np.abs(np.diff(excess)) / np.sqrt(variance[1:] + variance[:-1]))
