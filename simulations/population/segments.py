"""What a model does for groups of customers: told apart, let in, and priced right.

Pure functions on scores, labels and true probabilities. Only a simulation has all three for every customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from simulations.paired import Difference, Ranked, auc_difference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
REFERENCE_APPROVAL = 0.75


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """One model on one segment.

    Attributes
    ----------
    auc
        Against the label, or None where the segment holds one class only.
    auc_truth
        Of the true probability against the label: what nobody can pass but by luck.
    approval
        Share approved at the common bad rate.
    approval_ratio
        That share over the share of everybody outside of the segment; None for the segment of all.
    predicted, observed, true
        Means of the model's probability, the label and the true probability.
    distance
        Root mean square of model's minus true probability.
    auc_gain
        AUC minus the reference model's on the same customers, paired; None for the reference itself, and where the
        segment holds one class only.
    """

    model: str
    segment: str
    n: int
    bads: int
    auc: float | None
    auc_truth: float | None
    approval: float
    approval_ratio: float | None
    predicted: float
    observed: float
    true: float
    distance: float
    auc_gain: Difference | None = None


def figures_by_segment(
    scores: Mapping[str, Floats],
    segments: Mapping[str, Bools],
    labels: NDArray[np.uint8],
    truth: Floats,
    reference: str,
) -> tuple[SegmentFigures, ...]:
    """Compare models on segments of the same customers.

    Every model approves as many as it can at one bad rate among the approved: the one that `reference` has when it
    approves three quarters of everybody.

    Parameters
    ----------
    scores
        Model → probabilities of bad, shape (n,).
    segments
        Segment → members, shape (n,).
    labels, truth
        Shape (n,).
    """
    first = scores[reference] <= np.quantile(scores[reference], REFERENCE_APPROVAL)
    rate = float(labels[first].mean())
    return tuple(
        replace(_figures(model, segment, members, pd, approved, labels, truth), auc_gain=gain)
        for model, pd in scores.items()
        for approved in [approved_at(pd, labels, rate)]
        for segment, members in segments.items()
        if members.any()
        for gain in [_gain(labels[members], pd[members], scores[reference][members]) if model != reference else None]
    )


def approved_at(pd: Floats, labels: NDArray[np.uint8], bad_rate: float) -> Bools:
    """The most customers, safest first, whose bad rate is at most `bad_rate`; shape (n,).

    Customers of equal score are approved together.
    """
    order = np.argsort(pd, kind="stable")
    within = np.cumsum(labels[order]) <= bad_rate * np.arange(1, pd.size + 1)
    ends = np.append(pd[order][1:] > pd[order][:-1], True)
    last = np.flatnonzero(within & ends)
    return pd <= pd[order[last[-1]]] if last.size else np.zeros(pd.size, dtype=np.bool_)


def _figures(
    model: str, segment: str, members: Bools, pd: Floats, approved: Bools, labels: NDArray[np.uint8], truth: Floats
) -> SegmentFigures:
    share = float(approved[members].mean())
    others = approved[~members]
    return SegmentFigures(
        model=model,
        segment=segment,
        n=int(members.sum()),
        bads=int(labels[members].sum()),
        auc=_auc(labels[members], pd[members]),
        auc_truth=_auc(labels[members], truth[members]),
        approval=share,
        approval_ratio=share / float(others.mean()) if others.size and others.any() else None,
        predicted=float(pd[members].mean()),
        observed=float(labels[members].mean()),
        true=float(truth[members].mean()),
        distance=float(np.sqrt(np.mean((pd[members] - truth[members]) ** 2))),
    )


def _gain(labels: NDArray[np.uint8], pd: Floats, reference: Floats) -> Difference | None:
    return auc_difference(Ranked(labels, pd), Ranked(labels, reference))


def _auc(labels: NDArray[np.uint8], pd: Floats) -> float | None:
    if labels.min() == labels.max():
        return None
    # Imported at the end: scikit-learn takes as long to load as a thousand institutions to train.
    return float(import_module("sklearn.metrics").roc_auc_score(labels, pd))
