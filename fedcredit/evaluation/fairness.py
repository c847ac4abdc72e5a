"""How a score and a cut-off treat groups: approval, opportunity, calibration and points, each with an interval.

Groups are the plan's groupings beside the institution type. Every figure of a group is read from that group's own
released counts, at one cut-off for all. Ratios and gaps compare with the largest group, not with the best one: which
is best is a matter of chance and noise where groups are small. A group that does not surely have a public minimum of
records (two standard deviations of its own noise above it), or not three of them in all, is named and not judged.

The intervals treat groups as independent samples with independent noise, which within one grouping they are.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.decision import Economics, decide
from fedcredit.evaluation.figure import Figure, difference, of_estimate, quotient
from fedcredit.evaluation.intervals import auc_estimate
from fedcredit.evaluation.ratio import NOTHING
from fedcredit.evaluation.reliability import bad_share, gap, mean_logit, mean_pd
from fedcredit.evaluation.score_grid import ScoreGrid

Floats = NDArray[np.float64]
FEWEST_RECORDS = 100
# A minimum must be met surely, not by a lucky noise; and rates need a total that stands out of it.
_SURE_MULTIPLES, _NOISE_MULTIPLES = 2.0, 3.0


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One group.

    Attributes
    ----------
    group
        Its name.
    n_rows
        Estimated number of records, noise included.
    too_few
        Whether it is too small to be judged; then every figure is None.
    approval_rate, approval_ratio
        Share approved, and that over the reference group's.
    opportunity, opportunity_gap
        Share of goods approved, and that minus the reference group's.
    bads_approved
        Share of bads approved.
    bad_rate, mean_pd, calibration_gap
        Observed share of bads, mean predicted PD, and the first minus the second.
    auc
        Within the group.
    mean_logit, logit_gap
        Mean predicted log-odds of bad, and that minus the reference group's.
    """

    group: str
    n_rows: float
    too_few: bool
    approval_rate: Figure | None = None
    approval_ratio: Figure | None = None
    opportunity: Figure | None = None
    opportunity_gap: Figure | None = None
    bads_approved: Figure | None = None
    bad_rate: Figure | None = None
    mean_pd: Figure | None = None
    calibration_gap: Figure | None = None
    auc: Figure | None = None
    mean_logit: Figure | None = None
    logit_gap: Figure | None = None


@dataclass(frozen=True, slots=True)
class GroupCells:
    """Released counts of one group; shape (B,) each, and the noise on one count."""

    name: str
    good: Floats
    bad: Floats
    noise_stddev: float

    @property
    def n_rows(self) -> float:
        """Estimated number of records."""
        return float(self.good.sum() + self.bad.sum())

    def too_few(self, fewest: float) -> bool:
        """Whether it may have fewer than `fewest` records, or cannot be told from its noise."""
        of_total = self.noise_stddev * math.sqrt(2 * len(self.good))
        return self.n_rows < max(fewest + _SURE_MULTIPLES * of_total, _NOISE_MULTIPLES * of_total)


def group_figures(
    groups: tuple[GroupCells, ...], grid: ScoreGrid, edge: int, fewest: float = FEWEST_RECORDS
) -> tuple[str | None, tuple[GroupFigures, ...]]:
    """Name the reference group and compute every group's figures at one cut-off.

    Parameters
    ----------
    edge
        Index of the grid's edge from which on applicants are declined.
    fewest
        Records that a group needs in order to be judged.
    """
    judged = [one for one in groups if not one.too_few(fewest)]
    reference = max(judged, key=lambda one: one.n_rows, default=None)
    if reference is None:
        return None, tuple(GroupFigures(one.name, one.n_rows, too_few=True) for one in groups)
    measured = {one.name: _of_group(one, grid, edge) for one in judged}
    compared = measured[reference.name]
    return reference.name, tuple(
        _against(measured[one.name], compared, is_reference=one is reference)
        if one.name in measured
        else GroupFigures(one.name, one.n_rows, too_few=True)
        for one in groups
    )


def _of_group(one: GroupCells, grid: ScoreGrid, edge: int) -> GroupFigures:
    at = decide(one.good, one.bad, grid, edge, one.noise_stddev, Economics())
    return GroupFigures(
        group=one.name,
        n_rows=one.n_rows,
        too_few=False,
        approval_rate=at.approval_rate,
        opportunity=at.opportunity,
        bads_approved=at.bads_approved,
        bad_rate=bad_share(one.good, one.bad, one.noise_stddev),
        mean_pd=mean_pd(one.good, one.bad, grid, one.noise_stddev),
        calibration_gap=gap(one.good, one.bad, grid, one.noise_stddev),
        auc=of_estimate(auc_estimate(one.good, one.bad, one.noise_stddev), NOTHING),
        mean_logit=mean_logit(one.good, one.bad, grid, one.noise_stddev),
    )


def _against(own: GroupFigures, other: GroupFigures, *, is_reference: bool) -> GroupFigures:
    if is_reference:
        return own
    compared = {
        "approval_ratio": quotient(_known(own.approval_rate), _known(other.approval_rate)),
        "opportunity_gap": difference(_known(own.opportunity), _known(other.opportunity)),
        "logit_gap": difference(_known(own.mean_logit), _known(other.mean_logit)),
    }
    values = {name: getattr(own, name) for name in own.__slots__}
    return GroupFigures(**{**values, **compared})


def _known(figure: Figure | None) -> Figure:
    return figure if figure is not None else Figure(None, why=NOTHING)
