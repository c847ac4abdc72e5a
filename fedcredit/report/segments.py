"""Part 10, of a simulation over a drawn population: what each model does for which customers.

Only a simulation knows a customer's segment, own outcome and true probability at once; a deployed federation sees
groups by released counts alone (part 8).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcredit.evaluation.figure import Z95_SQUARED, Figure
from fedcredit.report.inputs import ReportInputs


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One model on one segment's test customers.

    Attributes
    ----------
    auc_gain
        AUC minus the reference model's on the same customers, with an interval of sampling (paired); None for the
        reference.
    approval, approval_ratio
        Share let in at the common bad rate, and that over the share of everybody outside of the segment.
    predicted, observed, true
        Means of the model's PD, of the outcome, and of the PD that the population was drawn with.
    """

    segment: str
    model: str
    customers: int
    bads: int
    auc: float | None
    auc_gain: Figure | None
    approval: float
    approval_ratio: float | None
    predicted: float
    observed: float
    true: float


@dataclass(frozen=True, slots=True)
class Segments:
    """All rows, segment by segment, and what their columns mean; empty where there are none."""

    rows: tuple[SegmentRow, ...]
    note: str


def segments_of(inputs: ReportInputs) -> Segments:
    """Compute the table."""
    if inputs.segments is None:
        return Segments((), "")
    figures = list(inputs.segments["figures"])
    names = dict.fromkeys(str(one["segment"]) for one in figures)
    rows = tuple(_row(one) for name in names for one in figures if one["segment"] == name)
    gain = "Gain: AUC over that of the row with a dash, on the same customers, paired; its interval is of sampling."
    return Segments(rows, f"{inputs.segments['synthetic']} {inputs.segments['note']} {gain}")


def _row(one: Mapping[str, Any]) -> SegmentRow:
    return SegmentRow(
        segment=one["segment"],
        model=one["model"],
        customers=one["n"],
        bads=one["bads"],
        auc=one["auc"],
        auc_gain=_gain(one.get("auc_gain")),
        approval=one["approval"],
        approval_ratio=one["approval_ratio"],
        predicted=one["predicted"],
        observed=one["observed"],
        true=one["true"],
    )


def _gain(found: Mapping[str, float] | None) -> Figure | None:
    if found is None:
        return None
    half = math.sqrt(Z95_SQUARED) * found["sampling_stddev"]
    return Figure(found["value"], found["value"] - half, found["value"] + half, found["sampling_stddev"])
