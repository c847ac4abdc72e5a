"""Test customers of one institution type, by segment: what each model does for them, with the truth at hand."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simulations.comparisons import ALL_COLUMNS, Comparison
from simulations.population.consortium import BANK, Consortium
from simulations.population.segments import SegmentFigures, figures_by_segment

VIEW = "view"
"""Last word of the models that read one type's columns after training with both."""


def judge(consortium: Consortium, comparison: Comparison, kind: str) -> tuple[SegmentFigures, ...]:
    """Compare all models of a run by segment.

    Parameters
    ----------
    comparison
        Scores of the type's test customers, in the order of `Consortium.test_customers`; what was not run is left out.
    kind
        Institution type whose customers are looked at.
    """
    rows, outcomes = consortium.test_customers(kind), consortium.population.outcomes
    scores, together = _scores(consortium, comparison, kind), f"{kind}s together"
    return figures_by_segment(
        scores,
        segments_of(consortium, kind),
        consortium.labels(kind)[rows],
        (outcomes.true_pd_bank if kind == BANK else outcomes.true_pd_hospital)[rows],
        reference=together if together in scores else f"joint, {kind} {VIEW}",
    )


def segments_of(consortium: Consortium, kind: str) -> dict[str, NDArray[np.bool_]]:
    """Members of each segment among the type's test customers."""
    rows, population = consortium.test_customers(kind), consortium.population
    thin, linked, later = population.places.thin_file[rows], population.linked[rows], consortium.later[rows]
    in_and_out_of_time = {"in time": ~later, "out of time": later} if later.any() else {}
    return {
        "all": np.ones(rows.size, dtype=np.bool_),
        "rural": population.persons.rural[rows],
        "thin file": thin,
        "micro-business": population.persons.micro_business[rows],
        "linked": linked,
        "linked, thin file": linked & thin,
        **in_and_out_of_time,
    }


def _scores(consortium: Consortium, comparison: Comparison, kind: str) -> Mapping[str, NDArray[np.float64]]:
    """Scores by the model's name; a star stands for training without privacy, whatever the run's."""
    joint, same_type, pooled = comparison.joint, comparison.same_type, comparison.pooled
    scores = {}
    if comparison.alone:
        # Each customer by the model of the own institution.
        places, spec = consortium.population.places, consortium.population.spec
        of_kind, names = (places.bank, spec.bank_ids) if kind == BANK else (places.hospital, spec.hospital_ids)
        own = of_kind[consortium.test_customers(kind)]
        by_institution = np.stack([comparison.alone[name][1].pd for name in names])
        scores[f"{kind} alone*"] = by_institution[own, np.arange(own.size)]
    for name, found, view in (
        (f"{kind}s together", same_type, kind),
        (f"joint, {kind} {VIEW}", joint, kind),
        ("joint, linked", joint, ALL_COLUMNS),
        (f"pooled*, {kind} {VIEW}", pooled, kind),
        ("pooled*, linked", pooled, ALL_COLUMNS),
    ):
        if view in found:
            scores[name] = found[view].pd
    return scores
