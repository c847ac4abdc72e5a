"""Released counts of made-up portfolios, with sampling and noise, and with drift or none."""

from functools import lru_cache

import numpy as np

from fedcredit.evaluation.score_grid import ScoreGrid, range_around, score_bins
from fedcredit.job.released_counts import FeatureCounts, GroupCounts, ReleasedCounts
from fedcredit.monitoring.figures import Monitored, calibration, feature_drift, proposals, score_drift, trained_scores

BASE_RATE = 0.2
GRID: ScoreGrid = score_bins(20, *range_around(BASE_RATE), 1024)
N_FEATURES, N_CELLS = 12, 14


@lru_cache
def score_shares(shift, slope, offset):
    """Share of all records in each class and bin; shape (2, 20): log-odds are normal, and calibrated by default."""
    logits = np.linspace(-7.0, 4.0, 20_001)
    density = np.exp(-((logits + 1.6 - shift) ** 2) / 2)
    pd = 1 / (1 + np.exp(-(offset + slope * logits)))
    bins = np.searchsorted(np.array(GRID.edges) / GRID.weight_scale, logits, side="right")
    shares = np.stack([np.bincount(bins, weights=density * of, minlength=20) for of in (1 - pd, pd)])
    return shares / shares.sum()


def scores(generator, n, noise, shift=0.0, slope=1.0, offset=0.0):
    """Goods and bads per score bin; shape (2, 20)."""
    counts = generator.multinomial(n, score_shares(shift, slope, offset).ravel()).reshape(2, -1).astype(float)
    return counts + generator.normal(0, noise, counts.shape) if noise else counts


def features(generator, n, noise, shift=0):
    """Class counts of features whose values fall off geometrically; `shift` moves the first one up by cells."""
    out = []
    for index in range(N_FEATURES):
        shares = 0.75 ** np.arange(N_CELLS, dtype=float)
        if index == 0 and shift:
            shares = np.concatenate([np.full(shift, 1e-9), shares[:-shift]])
        both = np.outer(shares / shares.sum(), [1 - BASE_RATE, BASE_RATE])
        counts = generator.multinomial(n, both.ravel()).reshape(-1, 2).astype(float)
        noisy = counts + (generator.normal(0, noise, counts.shape) if noise else 0.0)
        out.append(FeatureCounts(f"f{index}", noisy, noise))
    return tuple(out)


def released(generator, n, noise, shift=0.0, cells=0, **calibrated):
    """A whole release."""
    counts = scores(generator, n, noise, shift, **calibrated)
    by_type = GroupCounts("type", ("bank",), counts[None], np.array([noise]))
    return ReleasedCounts(features(generator, n, noise, cells), GRID, (by_type,))


def watched(trained, new, **changes):
    """The figures of a monitoring job."""
    fitted, in_the_large = calibration(trained_scores(new))
    values = {
        "scores": score_drift(trained_scores(trained), trained_scores(new)),
        "features": feature_drift(trained, new),
        "recalibration": fitted,
        "proposals": proposals(trained_scores(new)),
        "in_the_large": in_the_large,
        "approval_ratios": {},
        "too_few": (),
        "unpaid": False,
        "withdrew": (),
    }
    return Monitored(**{**values, **changes})
