"""How a population compares with what is public: marginals and rank correlations of persons, and regions.

Public tables are present as summary figures only (`simulations.population.reference`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from simulations.population import reference
from simulations.population.persons import Persons
from simulations.population.streams import Floats


def distances(persons: Persons) -> dict[str, float]:
    """Largest difference of distribution functions (Kolmogorov-Smirnov), at the reference's points."""
    p = persons
    return {
        "income": _at_quantiles(p.income, reference.INCOME),
        "health spending": _at_quantiles(p.spending, reference.SPENDING),
        "chronic conditions": _at_counts(p.chronic, reference.CHRONIC),
        "visits": _at_counts(p.visits, reference.VISITS),
        "insured": abs(float(p.insured.mean()) - reference.INSURED),
    }


def correlations(persons: Persons) -> dict[tuple[str, str], float]:
    """Spearman's rank correlation of each reference pair."""
    return {
        pair: float(spearmanr(*(getattr(persons, name).astype(np.float64) for name in pair)).statistic)
        for pair in reference.RANK_CORRELATIONS
    }


def stability_index(values: Floats, members: NDArray[np.bool_]) -> float:
    """Population stability index of a group against everybody else, over tenths of everybody."""
    cuts = np.unique(np.nanquantile(values, np.linspace(0.1, 0.9, 9)))
    cell = np.where(np.isnan(values), cuts.size + 1, np.digitize(values, cuts))
    group, rest = (
        (np.bincount(cell[chosen], minlength=cuts.size + 2) + 0.5) / (chosen.sum() + 0.5 * (cuts.size + 2))
        for chosen in (members, ~members)
    )
    return float(np.sum((group - rest) * np.log(group / rest)))


def _at_quantiles(values: Floats, quantiles: Sequence[float]) -> float:
    reached = np.searchsorted(np.sort(values / np.median(values)), quantiles) / values.size
    return float(np.max(np.abs(reached - reference.LEVELS)))


def _at_counts(counts: NDArray[np.int64], cumulated: Sequence[float]) -> float:
    reached = np.array([np.mean(counts <= k) for k in range(len(cumulated))])
    return float(np.max(np.abs(reached - cumulated)))
