"""Part 10: what else could have been done: each institution alone, institutions of one type, all rows in one place.

A deployed federation cannot know: nobody there sees another's records. A simulation has trained the rivals and scored
all of them on the same test records, exactly, and has compared them record by record: its differences have intervals.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedcredit.evaluation.figure import Z95_SQUARED, Figure
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.segments import Segments, segments_of

_Key = tuple[str, str, str | None]
_MODELS = (
    ("alone", "one institution alone, no privacy"),
    ("same_type", "institutions of one type"),
    ("joint", "joint model"),
    ("client_level", "for contrast: institutions protected as wholes, not records, by a trusted server"),
    ("pooled", "all rows in one place, no privacy"),
)
_DEPLOYED = (
    "not measured: in a deployed federation nobody holds the records that other models would be trained and compared "
    "on. Each institution can compare with its own model on its own records."
)
_OFF = "not measured: the simulation ran without its comparisons (compare=true)"
_NOTE = (
    "Exact figures on the same test records. Differences are paired by record (DeLong's variance for AUC), so what is "
    "hard in the records does not widen them; noise is what another draw of it in training would do, by the release's "
    "own weights, and errs towards more (docs/report.md). The 95 % interval holds both; where noise is not known, "
    "sampling alone. Boosting and differentially private explainable boosting on the packaged data: docs/utility.md."
)


@dataclass(frozen=True, slots=True)
class Rival:
    """One model with the columns of one view.

    Attributes
    ----------
    institution
        Whose it is; None for a model of several.
    auc_delta
        AUC of the joint model minus this one's.
    delta, brier_delta
        Joint minus this one's AUC and Brier score with intervals; None where the simulation kept none. Without a
        standard deviation of the noise the interval is of sampling alone.
    """

    view: str
    model: str
    institution: str | None
    auc: float | None
    ks: float | None
    brier: float | None
    n_test: int
    auc_delta: float | None
    delta: Figure | None = None
    brier_delta: Figure | None = None


@dataclass(frozen=True, slots=True)
class Rivals:
    """The part; `why` says why there are none, or is None."""

    rows: tuple[Rival, ...]
    note: str
    why: str | None
    segments: Segments


def rivals_of(inputs: ReportInputs) -> Rivals:
    """Compute the part."""
    if inputs.metrics is None:
        return Rivals((), "", _DEPLOYED, segments_of(inputs))
    models: Mapping[str, Any] = inputs.metrics["models"]
    views = list(models["joint"].get("by_view", {"all": None}))
    kept = {(one["view"], one["model"], one["institution"]): one for one in inputs.metrics.get("deltas", ())}
    rows = tuple(row for view in views for row in _of_view(models, view, kept))
    return Rivals(rows, _NOTE, None if models["alone"] else _OFF, segments_of(inputs))


def _of_view(models: Mapping[str, Any], view: str, kept: Mapping[_Key, Mapping[str, Any]]) -> Iterator[Rival]:
    joint = _figures(models["joint"], view)
    for key, words in _MODELS:
        if key not in models:
            continue
        named = models[key].items() if key == "alone" else [(None, models[key])]
        for institution, model in named:
            figures = _figures(model, view)
            if figures is not None and figures["n_test"]:
                row = _rival(view, words, institution, figures, joint)
                yield _with_intervals(row, kept.get((view, key, institution)))


def _figures(model: Mapping[str, Any], view: str) -> Mapping[str, Any] | None:
    by_view = model.get("by_view")
    found: Mapping[str, Any] | None = model if by_view is None else by_view.get(view)
    return found


def _rival(
    view: str, words: str, institution: str | None, figures: Mapping[str, Any], joint: Mapping[str, Any] | None
) -> Rival:
    own, other = figures["auc"], None if joint is None else joint["auc"]
    delta = None if figures is joint or own is None or other is None else other - own
    return Rival(view, words, institution, own, figures["ks"], figures["brier"], figures["n_test"], delta)


def _with_intervals(row: Rival, kept: Mapping[str, Any] | None) -> Rival:
    if kept is None:
        return row
    noise = kept["auc_noise_stddev"]
    return replace(row, delta=_figure(kept["auc"], noise), brier_delta=_figure(kept["brier"], None))


def _figure(difference: Mapping[str, float] | None, noise: float | None) -> Figure | None:
    if difference is None:
        return None
    value, sampling = difference["value"], difference["sampling_stddev"]
    half = math.sqrt(Z95_SQUARED) * math.hypot(sampling, noise or 0.0)
    return Figure(value, value - half, value + half, sampling, noise)
