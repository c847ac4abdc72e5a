"""Figures by segment as drawings: one line per segment, one mark per model; each says SYNTHETIC."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from fedcredit.report.drawing import INK, STYLES, Drawing, finished, new_figure
from simulations.population.judging import VIEW
from simulations.population.segments import SegmentFigures


def segment_drawings(figures: Sequence[SegmentFigures]) -> tuple[Drawing, ...]:
    """AUC, approval, and distance from the truth; none without figures."""
    if not figures:
        return ()
    return (
        _dots(figures, "segment-auc", "Who gains (SYNTHETIC)", "AUC", lambda one: one.auc),
        _dots(figures, "segment-approval", "Who is let in (SYNTHETIC)", "share approved", lambda one: one.approval),
        _dots(
            figures,
            "segment-truth",
            "How far from the true probability (SYNTHETIC)",
            "root mean square of model's minus true PD",
            lambda one: one.distance,
        ),
    )


def _dots(
    figures: Sequence[SegmentFigures],
    name: str,
    heading: str,
    what: str,
    read: Callable[[SegmentFigures], float | None],
) -> Drawing:
    segments = list(dict.fromkeys(one.segment for one in figures))
    heights = np.arange(len(segments))[::-1]
    figure = new_figure(5.0, 1.4 + 0.42 * len(segments))
    axes, words = figure.add_subplot(), [f"{what}, SYNTHETIC customers."]
    models = [one for one in dict.fromkeys(one.model for one in figures) if not one.endswith(VIEW)]
    for model, (colour, _, marker, _) in zip(models, STYLES, strict=False):
        values = {one.segment: read(one) for one in figures if one.model == model}
        if values:
            known = [_or_nan(values.get(segment)) for segment in segments]
            axes.plot(known, heights, linestyle="none", marker=marker, color=colour, markersize=7, label=model)
            words.append(_words(model, values))
    axes.set_yticks(heights, segments)
    axes.set(xlabel=f"{what}\nSYNTHETIC customers", ylim=(-0.7, len(segments) - 0.3))
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return finished(figure, name, heading, " ".join(words))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _words(model: str, values: dict[str, float | None]) -> str:
    known = (f"{segment} {value:.3f}" for segment, value in values.items() if value is not None)
    return f"{model}: {', '.join(known)}."
