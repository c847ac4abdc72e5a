"""Before the first round: bins, starting weights and their priors, all from the released preflight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.binning import Evidence, base_rate, bin_counts, choose_bins, evidence
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.binned_spec import BinnedSpec
from fedcredit.models.scorecard_layout import Layout, layout
from fedcredit.models.step_filter import prior_covariance, smooth
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]

# Beside other features a weight lies somewhere between 0 and the feature's own weight of evidence: a uniform factor
# on [0, 1] has mean square 1/3.
_SHARE_OF_EVIDENCE = 1 / 3


@dataclass(frozen=True, slots=True)
class Start:
    """What the rounds build on.

    Attributes
    ----------
    bins
        Per feature shape (n_cells,): grid cell to bin.
    counts
        Per feature shape (B, 2): goods and bads of each bin, reconciled over features.
    weights
        Shape (layout length,), logits.
    information
        Shape (layout length,): curvature of the loss; 0 on unused coordinates.
    ordered
        Per feature how many of the first bins form a scale; missing values and categories do not.
    prior_variance
        Per feature the variance of what its starting weights may lack.
    """

    bins: tuple[NDArray[np.int64], ...]
    counts: tuple[Floats, ...]
    weights: Floats
    information: Floats
    ordered: tuple[int, ...]
    prior_variance: tuple[float, ...]


def prepare(spec: BinnedSpec, dictionary: DataDictionary, preflight: Preflight) -> Start:
    """Choose bins and start from shrunken weights of evidence."""
    plan = layout(spec.max_bins, dictionary)
    cells = reconcile(plan, preflight)
    weights, information = np.zeros(plan.length), np.zeros(plan.length)
    bins, counts, scales, priors = [], [], [], []
    for index, feature in enumerate(dictionary.features):
        slots, noise = plan.slots[index], preflight.noise_stddev[index]
        of_cell = choose_bins(cells[index], noise, slots.stop - slots.start, spec.min_bin_share)
        here = bin_counts(cells[index], of_cell)
        found = evidence(here, np.bincount(of_cell), noise)
        used = slice(slots.start, slots.start + len(here))
        ordered = 0 if feature.type == "category" else int(of_cell[:-1].max()) + 1
        signal = _signal_variance(found)
        share = found.information / np.add.reduce(found.information)
        shrunk = smooth(found.value, found.variance, prior_covariance(max(signal, 1e-9), len(here), ordered))
        widest = max(len(plan.owned[kind]) for kind in plan.owners[index]) if plan.owners[index] else 1
        # Evidence counts once per feature, and features overlap: 1 / J if all are alike, 1 if none is.
        weights[used] = (shrunk - np.add.reduce(share * shrunk)) / widest**0.5
        information[used] = found.information
        scales.append(ordered)
        priors.append(prior_variance(found, spec))
        bins.append(of_cell)
        counts.append(here)
    _start_intercepts(plan, cells, weights, information)
    return Start(tuple(bins), tuple(counts), weights, information, tuple(scales), tuple(priors))


def prior_variance(found: Evidence, spec: BinnedSpec) -> float:
    """Variance of what a feature's starting weights may lack."""
    return _SHARE_OF_EVIDENCE * _signal_variance(found) + spec.prior_stddev**2


def reconcile(plan: Layout, preflight: Preflight) -> tuple[Floats, ...]:
    """Make features with the same owners agree on their class totals.

    They count the same records, so the mean of their totals is known far better than any one; each cell takes its
    share of the difference.
    """
    adjusted = list(preflight.counts)
    for owners in set(plan.owners):
        group = [i for i, own in enumerate(plan.owners) if own == owners and preflight.noise_stddev[i] > 0]
        if group:
            precision = np.array([1 / len(preflight.counts[i]) for i in group])
            totals = np.stack([np.add.reduce(preflight.counts[i], axis=0) for i in group])
            mean = np.add.reduce(totals * (precision / np.add.reduce(precision))[:, None], axis=0)
            for i, total in zip(group, totals, strict=True):
                adjusted[i] = preflight.counts[i] + (mean - total) / len(preflight.counts[i])
    return tuple(adjusted)


def _signal_variance(found: Evidence) -> float:
    """Variance of the true evidence between bins: what is seen less what noise and sampling explain."""
    excess = np.add.reduce(found.information * (found.value**2 - found.variance))
    return max(float(excess / np.add.reduce(found.information)), 0.0)


def _start_intercepts(plan: Layout, cells: tuple[Floats, ...], weights: Floats, information: Floats) -> None:
    """Base log-odds and curvature of each type, from the feature that the fewest other types share."""
    for kind, owned in enumerate(plan.owned):
        own = min(owned, key=lambda index: len(plan.owners[index]))
        p = base_rate(cells[own])
        n = float(cells[own].sum()) / len(plan.owners[own])
        weights[plan.first_intercept + kind] = np.log(p / (1 - p))
        information[plan.first_intercept + kind] = max(n, 1.0) * p * (1 - p)
