"""Part 10: what else could have been done: each institution alone, institutions of one type, all rows in one place.

A deployed federation cannot know: nobody there sees another's records. A simulation has trained the rivals and scored
all of them on the same test records, exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedcredit.report.inputs import ReportInputs

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
    "Exact figures on the same test records; a difference has no interval, since the figures of single records are "
    "not kept. Boosting and differentially private explainable boosting on the packaged data: docs/utility.md."
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
    """

    view: str
    model: str
    institution: str | None
    auc: float | None
    ks: float | None
    brier: float | None
    n_test: int
    auc_delta: float | None


@dataclass(frozen=True, slots=True)
class Rivals:
    """The part; `why` says why there are none, or is None."""

    rows: tuple[Rival, ...]
    note: str
    why: str | None


def rivals_of(inputs: ReportInputs) -> Rivals:
    """Compute the part."""
    if inputs.metrics is None:
        return Rivals((), "", _DEPLOYED)
    models: Mapping[str, Any] = inputs.metrics["models"]
    views = list(models["joint"].get("by_view", {"all": None}))
    rows = tuple(row for view in views for row in _of_view(models, view))
    return Rivals(rows, _NOTE, None if models["alone"] else _OFF)


def _of_view(models: Mapping[str, Any], view: str) -> Iterator[Rival]:
    joint = _figures(models["joint"], view)
    for key, words in _MODELS:
        if key not in models:
            continue
        named = models[key].items() if key == "alone" else [(None, models[key])]
        for institution, model in named:
            figures = _figures(model, view)
            if figures is not None and figures["n_test"]:
                yield _rival(view, words, institution, figures, joint)


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
