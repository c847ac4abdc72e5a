"""Drawings as vector text that a page can hold: one style, readable in light and dark, in print and without colour.

Series differ in marker, line style or hatch as well as in colour. Text stays text; equal figures give equal bytes.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

#: Colour of text and axes; on a page the text's own colour takes its place, so that drawings follow light and dark.
INK = "#22303c"
#: Colour, line style, marker and hatch per series; the colours hold on white and on near-black.
STYLES: tuple[tuple[str, Any, str, str], ...] = (
    ("#2f7fc1", "-", "o", ""),
    ("#d9622b", "--", "s", "////"),
    ("#2b9a74", "-.", "D", ".."),
    ("#9c6bc0", ":", "^", "xx"),
    ("#b08a1e", (0, (5, 1, 1, 1, 1, 1)), "v", "--"),
)
FAINT: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1, 3))}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of a report.

    Attributes
    ----------
    name
        Letters and hyphens; unique on a page, and the name of its file.
    heading
        What it shows, as a heading.
    svg
        SVG document.
    alt
        What is drawn, in words.
    """

    name: str
    heading: str
    svg: str
    alt: str

    @property
    def inline(self) -> str:
        """The SVG for a page: with title and description, the page's ink, and ids of its own."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
        body = re.sub(r'\bid="', f'id="{self.name}-', body)
        body = body.replace("url(#", f"url(#{self.name}-").replace('xlink:href="#', f'xlink:href="#{self.name}-')
        named = f'role="img" aria-labelledby="{self.name}-title {self.name}-desc" '
        described = f'<title id="{self.name}-title">{_escaped(self.heading)}</title>'
        described += f'<desc id="{self.name}-desc">{_escaped(self.alt)}</desc>'
        body = re.sub(r"<svg ([^>]*)>", rf"<svg {named}\1>{_literal(described)}", body, count=1)
        return body.replace(INK, "currentColor")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def percent(axes: Axes, directions: str) -> None:
    """Per cent on the named axes, and a faint grid."""
    for direction, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if direction in directions:
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)


def finished(figure: Figure, name: str, heading: str, alt: str) -> Drawing:
    """Give a figure its ink and turn it into text."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
    legends: Sequence[Any] = [*(axes.get_legend() for axes in figure.axes), *figure.legends]
    for text in (text for legend in legends if legend for text in legend.get_texts()):
        text.set_color(INK)
    target = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fedcredit"}):
        figure.savefig(target, format="svg", metadata={"Date": None}, transparent=True)
    return Drawing(name, heading, target.getvalue(), alt)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")
