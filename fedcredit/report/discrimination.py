"""Part 4: how well the score ranks, over all customers and per institution type, with what that is worth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.discrimination import gains, gini, roc_points, why_undefined
from fedcredit.evaluation.figure import Figure, of_estimate
from fedcredit.evaluation.intervals import auc_estimate, ks_estimate
from fedcredit.evaluation.ratio import NOTHING
from fedcredit.job.released_counts import ReleasedCounts
from fedcredit.report.inputs import ReportInputs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Released counts of some customers: shape (B,) each, lowest PD first, and the noise on one count."""

    good: Floats
    bad: Floats
    noise_stddev: float

    @property
    def why(self) -> str | None:
        """Why they cannot be ranked, or None."""
        return why_undefined(self.good, self.bad, self.noise_stddev)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well some customers are ranked."""

    customers: str
    auc: Figure
    gini: Figure
    ks: Figure


@dataclass(frozen=True, slots=True)
class Gain:
    """What the riskiest share of customers holds, and how much more than a random share."""

    share: float
    captured_bads: float
    lift: float


@dataclass(frozen=True, slots=True)
class Discrimination:
    """The part.

    Attributes
    ----------
    worst
        The institution type with the least AUC; None with fewer than two.
    roc
        (share of goods flagged, share of bads caught) at the bin edges.
    why
        Why there is nothing, or None.
    """

    overall: Ranking | None
    kinds: tuple[Ranking, ...]
    worst: str | None
    gains: tuple[Gain, ...]
    roc: tuple[tuple[float, float], ...]
    score_bins: int
    why: str | None


def discrimination_of(inputs: ReportInputs) -> Discrimination:
    """Compute the part."""
    if not inputs.counts.groupings:
        return Discrimination(None, (), None, (), (), 0, "phase evaluate did not run")
    everybody = overall_cells(inputs.counts)
    by_type = inputs.counts.groupings[0]
    kinds = tuple(
        _ranking(f"{kind} customers", Cells(good, bad, float(noise)))
        for kind, (good, bad), noise in zip(by_type.groups, by_type.counts, by_type.noise_stddev, strict=True)
    )
    known = [one for one in kinds if one.auc.value is not None]
    worst = min(known, key=lambda one: one.auc.value or 0.0).customers if len(known) > 1 else None
    curve = None if everybody.why else roc_points(everybody.good, everybody.bad)
    points = () if curve is None else zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)
    parts = () if everybody.why else gains(everybody.good, everybody.bad)
    return Discrimination(
        overall=_ranking("all customers", everybody),
        kinds=kinds,
        worst=worst,
        gains=tuple(Gain(row.share, row.captured_bad, row.lift) for row in parts),
        roc=tuple((float(x), float(y)) for x, y in points),
        score_bins=len(everybody.good),
        why=everybody.why,
    )


def overall_cells(counts: ReleasedCounts) -> Cells:
    """Counts of all customers: the sum over institution types."""
    by_type = counts.groupings[0]
    good, bad = by_type.counts.sum(axis=0)
    return Cells(good, bad, float(np.linalg.norm(by_type.noise_stddev)))


def _ranking(customers: str, cells: Cells) -> Ranking:
    why = cells.why or NOTHING
    auc = of_estimate(auc_estimate(cells.good, cells.bad, cells.noise_stddev), why)
    ks = of_estimate(ks_estimate(cells.good, cells.bad, cells.noise_stddev), why)
    return Ranking(customers, auc, _gini(auc), ks)


def _gini(auc: Figure) -> Figure:
    if auc.value is None:
        return auc
    low, high = gini(auc.low), gini(auc.high)
    return Figure(gini(auc.value), low, high, 2 * (auc.sampling_stddev or 0.0), 2 * (auc.noise_stddev or 0.0))
