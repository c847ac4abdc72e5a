"""Figures of a sweep: curves with error bars, and each institution's gain.

Series differ in marker, line style and fill as well as in colour, and stand apart on the axis, so that they can be told
apart in print and without colour vision. Equal sweeps give equal files.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from simulations.sweeps.curves import Axis, Curve, Picture

Floats = NDArray[np.float64]
INK = "#22303c"
STYLES: tuple[tuple[str, "Line", str], ...] = (
    ("#1f6fb2", "-", "o"),
    ("#c8501a", "--", "s"),
    ("#1f8a64", "-.", "D"),
    ("#8a56b8", ":", "^"),
    ("#8d6b10", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#555f68", (0, (1, 1)), "P"),
)
Line = str | tuple[int, tuple[int, ...]]
# Line, and the mark that stands for it where positions have no order.
RIVALS: dict[str, tuple[Line, str]] = {
    "pooled, no privacy": ((0, (6, 2)), "_"),
    "alone, no privacy": ((0, (1, 2)), "x"),
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as vector text, as pixels and in words; `name` is that of its files."""

    name: str
    heading: str
    svg: str
    png: bytes
    alt: str

    def write(self, folder: Path) -> None:
        """Write both files into a folder that exists."""
        (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")
        (folder / f"{self.name}.png").write_bytes(self.png)


@dataclass(frozen=True, slots=True)
class Gains:
    """Gain in AUC of each institution over training alone, under one setting; by institution type."""

    label: str
    by_kind: Mapping[str, tuple[float, ...]]


def curve_figure(picture: Picture, name: str, heading: str, y_label: str) -> Drawing:
    """Draw a picture: a panel per view, error bars of one standard deviation over the seeds."""
    panels = {view: curves for view, curves in picture.panels.items() if curves}
    figure = Figure(figsize=(1.2 + 4.6 * len(panels), 4.6), layout="constrained")
    for axes, (view, curves) in zip(
        np.ravel(figure.subplots(1, len(panels), squeeze=False)), panels.items(), strict=True
    ):
        _panel(axes, picture.axis, curves)
        axes.set_title(f"{view} columns", fontsize=10, color=INK, loc="left")
        axes.set_xlabel(picture.axis.label)
    figure.axes[0].set_ylabel(y_label)
    handles, labels = _legend(figure)
    # What a handle and a letter take, in inches; a wider legend would be cut off at both sides.
    fitting = int(figure.get_figwidth() / (0.65 + 0.061 * max(map(len, labels))))
    columns = max(1, min(3 * len(panels), len(labels), fitting))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=9,
                  handlelength=3.4)  # fmt: skip
    return _drawing(figure, name, heading, _words(heading, picture, panels))


def gain_figure(gains: Sequence[Gains], name: str, heading: str) -> Drawing:
    """Draw a panel per institution type: one row per setting, one mark per institution, a bar at the mean."""
    kinds = list(dict.fromkeys(kind for one in gains for kind in one.by_kind))
    figure = Figure(figsize=(2.4 + 3.8 * len(kinds), 1.3 + 0.32 * len(gains)), layout="constrained")
    for axes, kind in zip(np.ravel(figure.subplots(1, len(kinds), squeeze=False, sharey=True)), kinds, strict=True):
        colour, _, marker = STYLES[kinds.index(kind) % len(STYLES)]
        axes.axvline(0, color=INK, linewidth=1.0)
        for row, one in enumerate(gains):
            values = one.by_kind.get(kind, ())
            axes.plot(values, [-row] * len(values), linestyle="none", marker=marker, markersize=6, color=colour,
                      markerfacecolor="none", markeredgewidth=1.1, alpha=0.8)  # fmt: skip
            if values:
                axes.plot([np.mean(values)] * 2, [-row - 0.38, -row + 0.38], color=INK, linewidth=2.2)
        axes.set_yticks([-row for row in range(len(gains))], [one.label for one in gains], fontsize=9)
        axes.set_ylim(0.3 - len(gains), 0.7)
        axes.set_title(f"{kind}: {max(len(one.by_kind.get(kind, ())) for one in gains)} institutions", fontsize=10,
                       color=INK, loc="left")  # fmt: skip
        axes.grid(axis="x", color=INK, alpha=0.14, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.supxlabel("gain in AUC, joint model over own model (bar: mean)", fontsize=10, color=INK)
    told = "; ".join(
        f"{one.label}, {kind}: {sum(value > 0 for value in values)} of {len(values)} gain, mean {np.mean(values):+.4f}"
        for one in gains
        for kind, values in one.by_kind.items()
    )
    return _drawing(figure, name, heading, f"{heading}. {told}.")


def _panel(axes: Axes, axis: Axis, curves: Sequence[Curve]) -> None:
    own = [curve for curve in curves if not curve.rival]
    colours = {curve.label: STYLES[index % len(STYLES)][0] for index, curve in enumerate(own)}
    for index, curve in enumerate(own):
        colour, line, marker = STYLES[index % len(STYLES)]
        shift = (index - (len(own) - 1) / 2) * (0.1 if axis.ticks else 0.02)
        style = {"color": colour, "linestyle": "none" if axis.ticks else line, "marker": marker, "markersize": 5.5}
        _draw(axes, curve, _shifted(curve.x, axis, shift), line, style)
    for curve in curves:
        if curve.rival:
            line, marker = RIVALS[curve.rival]
            # A lone position has no line.
            shape = ("none", marker) if axis.ticks or len(curve.x) == 1 else (line, "none")
            axes.plot(curve.x, curve.mean, color=colours.get(curve.beside, INK), linewidth=1.2, markersize=11,
                      label=curve.label, linestyle=shape[0], marker=shape[1])  # fmt: skip
    if any(mean < 0 for curve in curves for mean in curve.mean):
        axes.axhline(0, color=INK, linewidth=0.8)
    _ticks(axes, axis, curves)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.3f"))
    axes.margins(y=0.08)


def _draw(axes: Axes, curve: Curve, x: Floats, line: Line, style: dict[str, Any]) -> None:
    if curve.flat:
        axes.axhline(curve.mean[0], label=curve.label, linewidth=1.4, color=style["color"], linestyle=line)
        return
    spread = [np.nan if stddev is None else stddev for stddev in curve.stddev] if any(curve.stddev) else None
    axes.errorbar(x, curve.mean, spread, label=curve.label, linewidth=1.6, elinewidth=0.9, capsize=3, **style)


def _shifted(x: Sequence[float], axis: Axis, shift: float) -> Floats:
    """Move a curve's marks a little, so that the error bars of several do not hide each other."""
    values: Floats = np.array(x, dtype=np.float64)
    if axis.logarithmic and values.size > 1:
        values *= (x[-1] / x[0]) ** shift
    elif axis.ticks or values.size > 1:
        values += shift * (1.0 if axis.ticks else x[-1] - x[0])
    return values


def _ticks(axes: Axes, axis: Axis, curves: Sequence[Curve]) -> None:
    positions = sorted({x for curve in curves for x in curve.x})
    if axis.logarithmic:
        axes.set_xscale("log")
    if axis.ticks:
        axes.set_xticks(range(len(axis.ticks)), [_broken(tick) for tick in axis.ticks], fontsize=9)
    elif len(positions) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(positions))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())


def _broken(tick: str) -> str:
    return tick.replace(", ", ",\n").replace(" α", "\nα")


def _legend(figure: Figure) -> tuple[list[Artist], list[str]]:
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    labels = sorted(found, key=lambda label: label.startswith(tuple(RIVALS)))
    return [found[label] for label in labels], labels


def _drawing(figure: Figure, name: str, heading: str, alt: str) -> Drawing:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
    for text in (text for legend in figure.legends for text in legend.get_texts()):
        text.set_color(INK)
    vector, pixels = io.StringIO(), io.BytesIO()
    # Text stays text, ids come from a fixed salt and no date is written: equal sweeps give equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fedcredit"}):
        figure.savefig(vector, format="svg", metadata={"Date": None})
    figure.savefig(pixels, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return Drawing(name, heading, vector.getvalue(), pixels.getvalue(), alt)


def _words(heading: str, picture: Picture, panels: Mapping[str, tuple[Curve, ...]]) -> str:
    told = []
    for view, curves in panels.items():
        for curve in curves:
            at = [picture.axis.ticks[int(x)] if picture.axis.ticks else f"{x:g}" for x in curve.x] or ["anywhere"]
            pairs = ", ".join(f"{where}: {mean:.4f}" for where, mean in zip(at, curve.mean, strict=True))
            told.append(f"{view} columns, {curve.label}: {pairs}")
    return f"{heading}. {'; '.join(told)}."
