"""The banks' test customers, by segment: what each model does for them, with the truth at hand."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simulations.comparisons import ALL_COLUMNS, Comparison
from simulations.population.consortium import BANK, Consortium
from simulations.population.segments import SegmentFigures, figures_by_segment

ALONE, SAME_TYPE, OWN_VIEW, JOINT = "bank alone*", "banks together", "joint, bank view", "joint, linked"
POOLED_BANK, POOLED_ALL = "pooled*, bank view", "pooled*, linked"
"""Models by name; a star stands for training without privacy, whatever the run's."""


def judge(consortium: Consortium, comparison: Comparison) -> tuple[SegmentFigures, ...]:
    """Compare all models of a run by segment.

    Parameters
    ----------
    comparison
        Scores of the banks' test customers, in the order of `Consortium.test_customers`; what was not run is left out.
    """
    rows = consortium.test_customers(BANK)
    scores = _scores(consortium, comparison)
    return figures_by_segment(
        scores,
        segments_of(consortium),
        consortium.labels(BANK)[rows],
        consortium.population.outcomes.true_pd_bank[rows],
        reference=SAME_TYPE if SAME_TYPE in scores else OWN_VIEW,
    )


def segments_of(consortium: Consortium) -> dict[str, NDArray[np.bool_]]:
    """Members of each segment among the banks' test customers."""
    rows, population = consortium.test_customers(BANK), consortium.population
    thin, linked = population.places.thin_file[rows], population.linked[rows]
    return {
        "all": np.ones(rows.size, dtype=np.bool_),
        "rural": population.persons.rural[rows],
        "thin file": thin,
        "micro-business": population.persons.micro_business[rows],
        "linked": linked,
        "linked, thin file": linked & thin,
    }


def _scores(consortium: Consortium, comparison: Comparison) -> Mapping[str, NDArray[np.float64]]:
    joint, same_type, pooled = comparison.joint, comparison.same_type, comparison.pooled
    scores = {}
    if comparison.alone:
        # Each customer by the model of the own bank.
        own = consortium.population.places.bank[consortium.test_customers(BANK)]
        by_bank = np.stack([comparison.alone[name][1].pd for name in consortium.population.spec.bank_ids])
        scores[ALONE] = by_bank[own, np.arange(own.size)]
    for name, found, view in (
        (SAME_TYPE, same_type, BANK),
        (OWN_VIEW, joint, BANK),
        (JOINT, joint, ALL_COLUMNS),
        (POOLED_BANK, pooled, BANK),
        (POOLED_ALL, pooled, ALL_COLUMNS),
    ):
        if view in found:
            scores[name] = found[view].pd
    return scores
