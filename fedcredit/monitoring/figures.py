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
from fedcredit.evaluation.recalibration import Recalibration as AffineMap
from fedcredit.evaluation.recalibration import recalibrate
from fedcredit.evaluation.reliability import gap
from fedcredit.evaluation.score_grid import ScoreGrid
from fedcredit.evaluation.stability import Stability, stability
from fedcredit.job.released_counts import GroupCounts, ReleasedCounts
from fedcredit.monitoring.recalibration import Recalibration, recalibration

Floats = NDArray[np.float64]
_ROOT2 = 2**0.5


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """A score histogram per institution type.

    Attributes
    ----------
    types
        Names of the K types.
    counts
        Released goods and bads per score bin, lowest PD first; shape (K, 2, B), in records.
    noise_stddev
        Of one count; shape (K,).
    """

    grid: ScoreGrid
    types: tuple[str, ...]
    counts: Floats
    noise_stddev: Floats


@dataclass(frozen=True, slots=True)
class Monitored:
    """The figures of one monitoring job.

    Attributes
    ----------
    scores
        Drift of the score per institution type. Over all types it would show, too, that one type has grown.
    features
        Drift of each feature of the dictionary.
    recalibration
        What would calibrate the model on the new records: an intercept of 0 and a slope of 1 are ideal.
    proposals
        Per institution type the integer map that would recalibrate its view; near the identity where counts say little
        against the noise. Nothing applies it by itself.
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

    scores: Mapping[str, Stability]
    features: Mapping[str, Stability]
    recalibration: Recalibration
    proposals: Mapping[str, AffineMap]
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
    return ScoreCounts(
        ScoreGrid(tuple(map(int, released["score_edges"])), int(released["weight_scale"])),
        tuple(map(str, released["groups"])),
        np.array(released["counts"], dtype=np.float64),
        np.array(released["noise_stddev"], dtype=np.float64),
    )


def trained_scores(counts: ReleasedCounts) -> ScoreCounts | None:
    """The scores on which the model was judged when it was trained; None where it was not."""
    if counts.grid is None:
        return None
    by_type = counts.groupings[0]
    return ScoreCounts(counts.grid, by_type.groups, by_type.counts, by_type.noise_stddev)


def score_drift(trained: ScoreCounts | None, new: ScoreCounts | None) -> dict[str, Stability]:
    """Population stability index of the score, per institution type that has members in both jobs."""
    if trained is None or new is None:
        return {"all": Stability(None, None, 0, "one of the two jobs released no scores")}
    if (trained.grid, trained.types) != (new.grid, new.types):
        return {"all": Stability(None, None, 0, "the two jobs have other score bins or types")}
    return {
        kind: stability(
            trained.counts[k].sum(axis=0),
            new.counts[k].sum(axis=0),
            *(_ROOT2 * one.noise_stddev[k] for one in (trained, new)),
        )
        for k, kind in enumerate(new.types)
        if trained.counts[k].any() and new.counts[k].any()
    }


def feature_drift(trained: ReleasedCounts, new: ReleasedCounts) -> dict[str, Stability]:
    """Characteristic stability index of every feature that both jobs counted; no further charge.

    A feature that no member of a job owns has no counts and no noise.
    """
    known = {one.name: one for one in trained.features if one.counts.any()}
    return {
        one.name: stability(
            known[one.name].counts.sum(axis=1),
            one.counts.sum(axis=1),
            _ROOT2 * known[one.name].noise_stddev,
            _ROOT2 * one.noise_stddev,
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
    good, bad = new.counts.sum(axis=0)
    parts = good, bad, new.grid, float(np.sqrt((new.noise_stddev**2).sum()))
    return recalibration(*parts), gap(*parts)


def proposals(new: ScoreCounts | None) -> dict[str, AffineMap]:
    """What would recalibrate each type's view, by type; empty where no scores were released."""
    if new is None:
        return {}
    return {
        kind: recalibrate(new.counts[k, 0], new.counts[k, 1], new.grid, float(new.noise_stddev[k]))
        for k, kind in enumerate(new.types)
        if new.counts[k].any()
    }


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
