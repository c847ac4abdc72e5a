"""What a monitoring job shows of a model, beside the release that it was approved on; arithmetic on charged counts.

Score and features are compared by the population stability index (`fedcredit.evaluation.stability`), calibration is
that of the new records, and groups are judged at one cut-off. Every figure carries what sampling and noise explain, so
that an alarm is about the records. Records without an outcome take no part, as in training: what is watched are the
newest records whose outcome is known.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.evaluation.decision import nearest_edge
from fedcredit.evaluation.fairness import GroupCells, group_figures
from fedcredit.evaluation.figure import Figure, unknown
from fedcredit.evaluation.group_labels import BY_TYPE, stated
from fedcredit.evaluation.reliability import gap
from fedcredit.evaluation.score_grid import ScoreGrid
from fedcredit.evaluation.stability import Stability, stability
from fedcredit.job.released_counts import GroupCounts, ReleasedCounts
from fedcredit.monitoring.recalibration import Recalibration, recalibration

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """A score histogram over all institution types.

    Attributes
    ----------
    good, bad
        Released counts per score bin, lowest PD first; shape (B,), in records.
    noise_stddev
        Of one count.
    """

    grid: ScoreGrid
    good: Floats
    bad: Floats
    noise_stddev: float


@dataclass(frozen=True, slots=True)
class Monitored:
    """The figures of one monitoring job.

    Attributes
    ----------
    score
        Drift of the score.
    features
        Drift of each feature of the dictionary.
    recalibration
        What would calibrate the model on the new records: an intercept of 0 and a slope of 1 are ideal.
    in_the_large
        Observed minus predicted PD of the new records.
    approval_ratios
        Per grouping and group the approval rate over the reference group's; empty without a cut-off.
    too_few
        Groups that are too small to be judged.
    unpaid
        Whether the job ended before its evaluation because no further message could be paid.
    withdrew
        Members of the training job that took no part to the end.
    """

    score: Stability
    features: Mapping[str, Stability]
    recalibration: Recalibration
    in_the_large: Figure
    approval_ratios: Mapping[str, Figure]
    too_few: tuple[str, ...]
    unpaid: bool
    withdrew: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def score_counts(released: Mapping[str, Any]) -> ScoreCounts | None:
    """The new records' scores from a monitoring job's released model; None where its one round was not paid."""
    if released["counts"] is None:
        return None
    counts = np.array(released["counts"], dtype=np.float64)
    grid = ScoreGrid(tuple(map(int, released["score_edges"])), int(released["weight_scale"]))
    return _over_groups(grid, counts, np.array(released["noise_stddev"], dtype=np.float64))


def trained_scores(counts: ReleasedCounts) -> ScoreCounts | None:
    """The scores on which the model was judged when it was trained; None where it was not."""
    if counts.grid is None:
        return None
    by_type = counts.groupings[0]
    return _over_groups(counts.grid, by_type.counts, by_type.noise_stddev)


def score_drift(trained: ScoreCounts | None, new: ScoreCounts | None) -> Stability:
    """Population stability index of the score."""
    if trained is None or new is None:
        return Stability(None, None, 0, "one of the two jobs released no scores")
    if trained.grid != new.grid:
        return Stability(None, None, 0, "the two jobs have other score bins")
    noise = (float(np.sqrt(2)) * one.noise_stddev for one in (trained, new))
    return stability(trained.good + trained.bad, new.good + new.bad, *noise)


def feature_drift(trained: ReleasedCounts, new: ReleasedCounts) -> dict[str, Stability]:
    """Characteristic stability index of every feature that both jobs counted; no further charge.

    A feature that no member of a job owns has no counts and no noise.
    """
    known = {one.name: one for one in trained.features if one.counts.any()}
    return {
        one.name: stability(
            known[one.name].counts.sum(axis=1),
            one.counts.sum(axis=1),
            float(np.sqrt(2) * known[one.name].noise_stddev),
            float(np.sqrt(2) * one.noise_stddev),
        )
        for one in new.features
        if one.name in known and one.counts.any()
    }


def approval_ratios(
    dictionary: DataDictionary, counts: ReleasedCounts, cut_off_pd: float
) -> tuple[dict[str, Figure], tuple[str, ...]]:
    """Approval ratio of each judged group at a cut-off, and the names of the groups that are too few.

    Institution types are no groups of persons, and whoever states no label is no group: both are left out.
    """
    if counts.grid is None:
        return {}, ()
    edge, ratios, few = nearest_edge(counts.grid, cut_off_pd), {}, []
    for grouping in counts.groupings:
        if grouping.grouping == BY_TYPE:
            continue
        _, judged = group_figures(_cells(dictionary, grouping), counts.grid, edge)
        for one in judged:
            name = f"{grouping.grouping}: {one.group}"
            if one.too_few:
                few.append(name)
            elif one.approval_ratio is not None:
                ratios[name] = one.approval_ratio
    return ratios, tuple(few)


def calibration(new: ScoreCounts | None) -> tuple[Recalibration, Figure]:
    """Recalibration and calibration in the large of the new records."""
    if new is None:
        none = unknown("the monitoring job released no scores")
        return Recalibration(none, none), none
    parts = new.good, new.bad, new.grid, new.noise_stddev
    return recalibration(*parts), gap(*parts)


def _over_groups(grid: ScoreGrid, counts: Floats, noise_stddev: Floats) -> ScoreCounts:
    """Sum a histogram (groups, 2, B) and its noise, shape (groups,), over the groups."""
    good, bad = counts.sum(axis=0)
    return ScoreCounts(grid, good, bad, float(np.sqrt((noise_stddev**2).sum())))


def _cells(dictionary: DataDictionary, grouping: GroupCounts) -> tuple[GroupCells, ...]:
    """Groups of records whose labels are known."""
    known = stated(dictionary, grouping.grouping)
    return tuple(
        GroupCells(name, counts[0], counts[1], float(noise))
        for name, counts, noise, is_known in zip(
            grouping.groups, grouping.counts, grouping.noise_stddev, known, strict=True
        )
        if is_known
    )
