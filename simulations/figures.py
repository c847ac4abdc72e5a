"""Figures of a run: ROC curves, reliability, and AUC by institution.

Each function takes plain arrays and returns a `Drawing`: SVG, PNG and the text that says in words what is
drawn. Series differ in marker and line style as well as colour, so they can be told apart in print and
without colour vision. Nothing here opens a window.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Colour of text and axes. Inline SVG swaps it for the page's text colour, so a figure follows light and
#: dark.
INK = "#22303c"
#: Colour, line style and marker per series; the colours hold on white and on near-black.
STYLES = (
    ("#2f7fc1", "-", "o"),
    ("#d9622b", "--", "s"),
    ("#2b9a74", "-.", "D"),
    ("#9c6bc0", ":", "^"),
    ("#b08a1e", (0, (5, 1, 1, 1, 1, 1)), "v"),
)
_MOST_NAMED_INSTITUTIONS = 40


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as vector text, as pixels and in words."""

    svg: str
    png: bytes
    alt: str

    def write(self, folder: Path, name: str) -> None:
        """Write `name`.svg and `name`.png into a folder that exists."""
        (folder / f"{name}.svg").write_text(self.svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(self.png)


@dataclass(frozen=True, slots=True)
class RocCurve:
    """ROC curve of one model.

    Parameters
    ----------
    label
        Name of the model.
    false_positive_rate, true_positive_rate
        Same shape, rising from 0 to 1.
    auc
        Area, for the legend.
    """

    label: str
    false_positive_rate: Floats
    true_positive_rate: Floats
    auc: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted against observed bad rate of one model, one entry per row of its calibration table.

    Parameters
    ----------
    label
        Name of the series.
    predicted, observed
        Mean PD and observed bad rate, in [0, 1].
    low, high
        95 % interval of `observed`.
    n_rows
        Number of records per row.
    """

    label: str
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    n_rows: Floats


@dataclass(frozen=True, slots=True)
class InstitutionAuc:
    """Exact AUC with one institution's columns, by who trained; None where it cannot be computed."""

    institution: str
    alone: float | None
    same_type: float | None
    joint: float | None


@dataclass(frozen=True, slots=True)
class Dots:
    """One model's figure on each line of `dots_figure`; None where it has none."""

    label: str
    values: Sequence[float | None]


def roc_figure(curves: Sequence[RocCurve]) -> Drawing:
    """Draw the ROC curves of several models in one square."""
    figure = _figure(5.2, 5.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (1, 3)))
    for index, (curve, (colour, line, marker)) in enumerate(zip(curves, _styles(len(curves)), strict=True)):
        x, y = curve.false_positive_rate, curve.true_positive_rate
        axes.plot(x, y, color=colour, linestyle=line, linewidth=1.8)
        marks = (np.arange(7) + (index + 0.5) / len(curves)) / 7  # staggered, so that no marker hides another
        axes.plot(marks, np.interp(marks, x, y), color=colour, marker=marker, linestyle="none", markersize=5)
        label = f"{curve.label} (AUC {curve.auc:.3f})"
        axes.plot([], [], color=colour, linestyle=line, marker=marker, markersize=5, label=label)
    axes.set(xlabel="good cases flagged", ylabel="bad cases caught", xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    _percent(axes, "xy")
    _legend(axes, "lower right")
    named = "; ".join(f"{curve.label} {curve.auc:.3f}" for curve in curves)
    return _drawing(figure, f"ROC curves, share of bad cases caught against good cases flagged. AUC: {named}.")


def reliability_figure(series: Sequence[Reliability]) -> Drawing:
    """Draw observed against predicted bad rates with intervals, and the number of records below."""
    figure = _figure(5.2, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    top = max((float(max(s.predicted.max(), s.high.max())) for s in series if len(s.predicted)), default=1.0)
    limit = min(1.0, 1.08 * top)
    upper.plot([0, limit], [0, limit], color=INK, linewidth=0.8, linestyle=(0, (1, 3)), label="perfect")
    for one, (colour, line, marker) in zip(series, _styles(len(series)), strict=True):
        spread = np.abs(np.stack([one.observed - one.low, one.high - one.observed]))
        upper.errorbar(
            one.predicted, one.observed, spread, color=colour, linestyle=line, marker=marker,
            markersize=5, linewidth=1.4, elinewidth=1.0, capsize=3, label=one.label,
        )  # fmt: skip
        lower.vlines(one.predicted, 0, one.n_rows, colors=colour, linewidth=1.4, linestyles=line)
        lower.plot(one.predicted, one.n_rows, color=colour, linestyle="none", marker=marker, markersize=5)
    upper.set(ylabel="observed bad rate", xlim=(0, limit), ylim=(0, limit))
    lower.set(xlabel="predicted PD", ylabel="records", ylim=(0, None))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    _percent(upper, "xy")
    _legend(upper, "upper left")
    return _drawing(figure, " ".join(["Observed against predicted bad rate.", *map(_reliability_words, series)]))


def institution_figure(institutions: Sequence[InstitutionAuc]) -> Drawing:
    """Draw one line per institution with its AUC alone, with its own type, and in the joint model."""
    n = len(institutions)
    named = n <= _MOST_NAMED_INSTITUTIONS
    figure = _figure(6.4, (1.3 + 0.38 * n) if named else 6.0)
    axes = figure.add_subplot()
    heights = np.arange(n)[::-1]
    legend = ("alone, no privacy", "same type", "joint")
    values = [[_or_nan(getattr(one, name)) for one in institutions] for name in ("alone", "same_type", "joint")]
    if named:
        for height, ends in zip(heights, zip(*values, strict=True), strict=True):
            known = [end for end in ends if not np.isnan(end)]
            if known:
                axes.plot([min(known), max(known)], [height, height], color=INK, linewidth=0.8, alpha=0.5)
    for label, column, (colour, _, marker) in zip(legend, values, STYLES, strict=False):
        fill = "none" if label.startswith("alone") else colour
        axes.plot(
            column, heights, linestyle="none", marker=marker, color=colour, markerfacecolor=fill,
            markersize=8 if named else 3, markeredgewidth=1.6, label=label,
        )  # fmt: skip
    axes.set_yticks(heights if named else [], [one.institution for one in institutions] if named else [])
    axes.set(xlabel="AUC on the test records", ylim=(-0.7, max(n, 1) - 0.3))
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return _drawing(figure, _institution_words(institutions))


def dots_figure(lines: Sequence[str], series: Sequence[Dots], what: str) -> Drawing:
    """Draw one line per group with a dot per model.

    Parameters
    ----------
    lines
        Names of the groups, from above.
    what
        Name of the figure, for the axis and in words.
    """
    figure = _figure(6.4, 1.4 + 0.42 * len(lines))
    axes = figure.add_subplot()
    heights = np.arange(len(lines))[::-1]
    for one, (colour, _, marker) in zip(series, _styles(len(series)), strict=True):
        known = [_or_nan(value) for value in one.values]
        axes.plot(known, heights, linestyle="none", marker=marker, color=colour, markersize=7, label=one.label)
    axes.set_yticks(heights, lines)
    axes.set(xlabel=what, ylim=(-0.7, max(len(lines), 1) - 0.3))
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return _drawing(figure, f"{what}. " + " ".join(_dots_words(lines, one) for one in series))


def inline_svg(drawing: Drawing, prefix: str) -> str:
    """Return the SVG for embedding in a page.

    It takes the page's text colour, has no XML prolog, and its ids start with `prefix`, since a page holds
    several figures.
    """
    body = drawing.svg[drawing.svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = body.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'xlink:href="#{prefix}-')
    return body.replace(INK, "currentColor").replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _styles(n: int) -> list[tuple[str, str | tuple[int, tuple[int, ...]], str]]:
    return [STYLES[i % len(STYLES)] for i in range(n)]


def _percent(axes: Axes, directions: str) -> None:
    if "x" in directions:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if "y" in directions:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)


def _legend(axes: Axes, place: Literal["upper left", "lower right"]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, loc=place, frameon=False, handlelength=3.2, fontsize=9)


def _drawing(figure: Figure, alt: str) -> Drawing:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        legends = [axes.get_legend(), *figure.legends]
        for text in (text for legend in legends if legend for text in legend.get_texts()):
            text.set_color(INK)
    vector, pixels = io.StringIO(), io.BytesIO()
    # Text stays text, ids come from a fixed salt and no date is written: equal runs give equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fedcredit"}):
        figure.savefig(vector, format="svg", metadata={"Date": None}, transparent=True)
    figure.savefig(pixels, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return Drawing(vector.getvalue(), pixels.getvalue(), alt)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _reliability_words(series: Reliability) -> str:
    if not len(series.predicted):
        return f"{series.label}: no records."
    pairs = ", ".join(
        f"{p:.0%} predicted {o:.0%} observed" for p, o in zip(series.predicted, series.observed, strict=True)
    )
    return f"{series.label}: {pairs}; {series.n_rows.sum():,.0f} records."


def _dots_words(lines: Sequence[str], one: Dots) -> str:
    pairs = ", ".join(f"{line} {value:.3f}" for line, value in zip(lines, one.values, strict=True) if value is not None)
    return f"{one.label}: {pairs}."


def _institution_words(institutions: Sequence[InstitutionAuc]) -> str:
    gains = [one.joint - one.alone for one in institutions if one.joint is not None and one.alone is not None]
    words = f"AUC with the columns of each of {len(institutions)} institutions: alone, same type, and joint."
    if not gains:
        return words
    better = sum(gain > 0 for gain in gains)
    span = f"{min(gains):+.3f} to {max(gains):+.3f}"
    return f"{words} Joint is above alone at {better} of {len(gains)}; the gain is {span}."
