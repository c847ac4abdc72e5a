"""The honest rivals of a joint model: each institution alone, institutions of one type, and everything pooled.

All are jobs of the same coordinator and custodians; only who takes part, the columns and the noise differ. `alone`
and `pooled` have no privacy: they are the floor that a federation must beat and the ceiling that it cannot pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Dataset
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.family import family_of
from fedcredit.models.specs import ModelSpec
from fedcredit.plan import Placement, PrivacyTerms
from simulations.dataset import POOLED, pooled_dictionary, rows_of
from simulations.federation import Federation, Institution, JobOutcome, JobSpec, found, run_in_process
from simulations.partition import PooledTable
from simulations.placement import Masks, local_steps_of, masks_for, placement_for

Run = Callable[[Federation, JobSpec], JobOutcome]
"""Runs a whole job in this process."""

ALL_COLUMNS = "all"


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's probabilities of bad on the whole test set.

    Attributes
    ----------
    pd
        Shape (n_test,), in (0, 1).
    """

    pd: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores on each view's test rows by model name and view, and those rows' labels; for tables and figures.

    Attributes
    ----------
    noise
        By model (``joint``, ``same_type``) and view, the standard deviation of the AUC over the noise of training; None
        where it is not known.
    """

    labels: Mapping[str, NDArray[np.uint8]]
    joint: Mapping[str, Scores]
    same_type: Mapping[str, Scores]
    pooled: Mapping[str, Scores]
    alone: Mapping[str, tuple[str, Scores]]
    noise: Mapping[tuple[str, str], float | None] = field(default_factory=dict)


def views(dictionary: DataDictionary) -> tuple[str, ...]:
    """Views in which the whole test set is scored: each institution type's columns, and all columns."""
    return (*dictionary.institution_types, ALL_COLUMNS)


def score(dictionary: DataDictionary, spec: ModelSpec, model: bytes, view: str, cells: Cells) -> Scores:
    """Score rows that have every column from one type's columns."""
    family = family_of(spec.family)
    margins = family.margins(spec, dictionary, view, model, cells[:, list(dictionary.owned(view))])
    return Scores(1.0 / (1.0 + np.exp(-margins / 1024.0)))


def score_outcome(
    dictionary: DataDictionary, outcome: JobOutcome, table: PooledTable, test: NDArray[np.int64]
) -> dict[str, Scores]:
    """Score the test set in every view that the job's institutions can serve.

    Without linked rows lambda = 0: a person known to both types is scored with the first type's view, and `all` is that
    view. A joint view (`simulations.joint_view`) takes its place where one was fitted.
    """
    model = family_of(outcome.plan.model.family).final(outcome.progress.state)
    kinds = tuple(dict.fromkeys(member.kind for member in outcome.plan.roster.members))
    by_view = {kind: score(dictionary, outcome.plan.model, model, kind, table.cells[test]) for kind in kinds}
    return {**by_view, ALL_COLUMNS: by_view[kinds[0]]}


def run_alone(
    dictionary: DataDictionary, institution: Institution, spec: JobSpec, run: Run = run_in_process
) -> JobOutcome:
    """One institution, no privacy."""
    own = without_privacy(spec, f"alone-{institution.id}")
    return run(found(dictionary, (institution,), own), own)


def run_same_type(
    dictionary: DataDictionary,
    institutions: tuple[Institution, ...],
    kind: str,
    spec: JobSpec,
    masks: Masks,
    run: Run = run_in_process,
) -> JobOutcome:
    """The institutions of one type, with the joint job's privacy as far as their number allows.

    Parameters
    ----------
    masks
        As asked for.
    """
    chosen = tuple(one for one in institutions if one.kind == kind)
    own = replace(spec, name=f"same-type-{kind}", privacy=privacy_of_fewer(spec, len(chosen), masks))
    return run(found(dictionary, chosen, own), own)


def privacy_of_fewer(joint: JobSpec, n_institutions: int, masks: Masks) -> PrivacyTerms:
    """A joint job's terms for some of its institutions: local noise and no masks where they are too few.

    Parameters
    ----------
    masks
        As asked for.
    """
    privacy = joint.privacy
    placement = placement_for(privacy.placement, n_institutions, privacy.colluders, local_steps_of(joint.model))
    return privacy.model_copy(update={"placement": placement, "masks": masks_for(masks, n_institutions)})


def run_pooled(
    dictionary: DataDictionary,
    table: PooledTable,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    view: str,
    spec: JobSpec,
    run: Run = run_in_process,
) -> tuple[JobOutcome, Scores]:
    """All rows at one place, the columns of one view, no privacy; scored on the test set."""
    blocks = dictionary.blocks if view == ALL_COLUMNS else dictionary.institution_type(view).owns
    pooled = pooled_dictionary(dictionary, blocks)
    chosen = [index for index, feature in enumerate(dictionary.features) if feature.block in set(blocks)]
    narrow = replace(table, cells=np.ascontiguousarray(table.cells[:, chosen]))
    data = Dataset(POOLED, rows_of(pooled, narrow, train, POOLED), rows_of(pooled, narrow, test, POOLED), bytes(32))
    own = without_privacy(spec, f"pooled-{view}")
    outcome = run(found(pooled, (Institution(POOLED, POOLED, data),), own), own)
    model = family_of(own.model.family).final(outcome.progress.state)
    return outcome, score(pooled, own.model, model, POOLED, narrow.cells[test])


def without_privacy(spec: JobSpec, name: str) -> JobSpec:
    """The same job without noise."""
    terms = PrivacyTerms(
        placement=Placement.NONE,
        unit=spec.privacy.unit,
        max_records_per_person=spec.privacy.max_records_per_person,
        max_attempts=spec.privacy.max_attempts,
        max_drops=spec.privacy.max_drops,
        min_owners=spec.privacy.min_owners,
    )
    return replace(spec, name=name, privacy=terms, noise_seed=None)
