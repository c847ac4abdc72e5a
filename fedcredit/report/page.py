"""The report as one self-contained HTML page: no script, no network, no external file.

Drawings are inline SVG with title and description, and every number in one also stands in a table. Colours follow the
reader's light or dark setting; the page prints. The template engine escapes every text; only the drawings are trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fedcredit.evaluation.figure import Figure
from fedcredit.privacy.printed import at_most, at_most_digits
from fedcredit.report.drawing import Drawing
from fedcredit.report.explanation import FeaturePoints
from fedcredit.report.report import Report

TEMPLATES = Path(__file__).parent / "templates"
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a bin's bar begins and how long it is, in per cent of the widest range of points."""

    left: float
    width: float


def render_page(report: Report, drawings: Sequence[Drawing]) -> str:
    """Return the page as HTML text, to be written in UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, decimal=decimal, whole=whole, signed=signed)
    environment.filters.update(epsilon=epsilon, at_most=at_most, digits=at_most_digits, sentence=sentence)
    environment.globals.update(shown=shown)
    return environment.get_template("report.html.jinja").render(
        report=report,
        drawings={drawing.name: (drawing, Markup(drawing.inline)) for drawing in drawings},  # noqa: S704 (drawn by us)
        groups_drawn=[drawing.name for drawing in drawings if drawing.name.startswith("group-")],
        bars=bars_of(report.explanation.features),
        is_noised=report.protection.delta is not None,
    )


def shown(figure: Figure | None, style: str) -> tuple[str, str]:
    """A figure's value and its interval (or why there is none), ready to print.

    Parameters
    ----------
    style
        ``percent``, ``signed percent``, or a number of decimals, ``signed`` before it for a gap.
    """
    if figure is None:
        return "\N{EN DASH}", ""
    if figure.value is None:
        return "n/a", figure.why or ""
    if figure.low is None or figure.high is None:
        return _styled(figure.value, style), ""
    low = _styled(figure.low, style).removesuffix(" %")  # the sign stands once, at the end
    return _styled(figure.value, style), f"{low} to {_styled(figure.high, style)}"


def percent(value: float | None, decimals: int = 1) -> str:
    """Per cent, or n/a."""
    return "n/a" if value is None else _minus(f"{100 * value:.{decimals}f} %")


def decimal(value: float | None, decimals: int = 3) -> str:
    """A decimal number, or n/a."""
    return "n/a" if value is None else _minus(f"{value:.{decimals}f}")


def whole(value: float | None) -> str:
    """A whole number with thousands apart, or n/a."""
    return "n/a" if value is None else _minus(f"{value:,.0f}")


def signed(value: float | None, decimals: int = 3) -> str:
    """A decimal number with its sign, or nothing."""
    return "" if value is None else _minus(f"{value:+.{decimals}f}")


def epsilon(value: float | None) -> str:
    """An ε with three digits, rounded up, or none."""
    return "none" if value is None else at_most_digits(value)


def sentence(text: str) -> str:
    """A reason as a sentence: a capital at its beginning, a full stop at its end."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def bars_of(features: Sequence[FeaturePoints]) -> dict[str, list[Bar]]:
    """The bars of the points table, on one scale for all features."""
    points = [one.points for feature in features for one in feature.bins]
    low, high = min([0, *points]), max([0, *points])
    scale = 100 / (high - low) if high > low else 0.0
    return {
        feature.feature: [
            Bar(round((min(0, one.points) - low) * scale, 1), round(abs(one.points) * scale, 1)) for one in feature.bins
        ]
        for feature in features
    }


def _styled(value: float, style: str) -> str:
    sign = "+" if style.startswith("signed") else ""
    kind = style.removeprefix("signed").strip()
    return _minus(f"{100 * value:{sign}.1f} %" if kind == "percent" else f"{value:{sign}.{int(kind)}f}")


def _minus(text: str) -> str:
    """Print a minus as one, and none before a zero."""
    if not any(digit in text for digit in "123456789"):
        return text.replace("-", "")
    return text.replace("-", _MINUS)
