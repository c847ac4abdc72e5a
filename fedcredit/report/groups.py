"""Part 8: how groups of people fare at the chosen cut-off, by every grouping of the plan but the institution type.

A product of two labels (an intersection) is a grouping like any other.
"""

from dataclasses import dataclass, replace

from fedcredit.evaluation.decision import nearest_edge
from fedcredit.evaluation.fairness import GroupCells, GroupFigures, group_figures
from fedcredit.evaluation.figure import Figure
from fedcredit.evaluation.group_labels import BY_TYPE
from fedcredit.evaluation.score_grid import ScoreGrid
from fedcredit.job.released_counts import GroupCounts
from fedcredit.report.inputs import ReportInputs

FOUR_FIFTHS = 0.8


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group.

    Attributes
    ----------
    figures
        As measured.
    mean_points, points_gap
        Mean score in points, and that minus the reference group's.
    four_fifths
        Where the whole interval of the approval ratio lies: ``below``, ``above``, or ``not told apart``.
    """

    figures: GroupFigures
    mean_points: Figure | None
    points_gap: Figure | None
    four_fifths: str | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """One grouping; `reference` is the largest group, None where none can be judged."""

    name: str
    reference: str | None
    rows: tuple[GroupRow, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """The part; `why` says why there is none, or is None."""

    fewest_records: int
    cut_off_pd: float | None
    groupings: tuple[Grouping, ...]
    why: str | None


def groups_of(inputs: ReportInputs) -> Groups:
    """Compute the part."""
    grid, assumed = inputs.counts.grid, inputs.assumptions
    if grid is None:
        return Groups(assumed.fewest_records, None, (), "phase evaluate did not run")
    named = [one for one in inputs.counts.groupings if one.grouping != BY_TYPE]
    if not named:
        why = "not measured: the plan groups by institution type alone; name a grouping in it (evaluation.groupings)"
        return Groups(assumed.fewest_records, None, (), why)
    return Groups(
        assumed.fewest_records,
        assumed.cut_off,
        tuple(_grouping(inputs, grid, one) for one in named),
        None,
    )


def _grouping(inputs: ReportInputs, grid: ScoreGrid, counts: GroupCounts) -> Grouping:
    assumed = inputs.assumptions
    cells = tuple(
        GroupCells(name, good, bad, float(noise))
        for name, (good, bad), noise in zip(counts.groups, counts.counts, counts.noise_stddev, strict=True)
    )
    edge = nearest_edge(grid, assumed.cut_off)
    reference, found = group_figures(cells, grid, edge, assumed.fewest_records)
    factor, offset = assumed.scale.factor, assumed.scale.offset
    return Grouping(counts.grouping, reference, tuple(_row(one, factor, offset) for one in found))


def _row(found: GroupFigures, factor: float, offset: float) -> GroupRow:
    return GroupRow(
        found,
        mean_points=in_points(found.mean_logit, factor, offset),
        points_gap=in_points(found.logit_gap, factor, 0.0),
        four_fifths=_four_fifths(found.approval_ratio),
    )


def in_points(logits: Figure | None, factor: float, offset: float) -> Figure | None:
    """A figure in log-odds of bad on the points scale; its ends change places."""
    if logits is None or logits.value is None:
        return logits
    return replace(
        logits,
        value=offset - factor * logits.value,
        low=None if logits.high is None else offset - factor * logits.high,
        high=None if logits.low is None else offset - factor * logits.low,
        sampling_stddev=None if logits.sampling_stddev is None else factor * logits.sampling_stddev,
        noise_stddev=None if logits.noise_stddev is None else factor * logits.noise_stddev,
    )


def _four_fifths(ratio: Figure | None) -> str | None:
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return "below" if ratio.high < FOUR_FIFTHS else "above" if ratio.low >= FOUR_FIFTHS else "not told apart"
