"""The page of a sweep: one self-contained HTML file with the figures, the tables behind them and what they cannot say.

No script, no network. Every text is escaped by the template engine; only the SVG that `figures` drew is trusted.
"""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from simulations.sweeps.curves import (
    DEALING,
    EPSILON,
    INSTITUTIONS,
    PLACEMENT,
    Row,
    dimensions,
    evenness,
    label_of,
    mean_and_sd,
    named,
    views,
)
from simulations.sweeps.figures import INK, Drawing, Gains
from simulations.sweeps.rows import Cell

_TEMPLATES = Path(__file__).parents[1] / "templates"
_MODELS = {
    "joint": "joint",
    "same_type": "same type",
    "alone": "alone*",
    "pooled": "pooled*",
    "client_level": "institutions†",
}
_CLIENT_LEVEL = " † protects whole institutions, not records (client-level differential privacy), by a trusted server."
MOST_NAMED = 60
"""Most institutions that are listed one by one."""


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows of text."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


@dataclass(frozen=True, slots=True)
class SweepPage:
    """What the page shows.

    Attributes
    ----------
    varied
        Each setting that varied, in words, with its values.
    same
        Settings that all runs share.
    n_runs, n_settings
        Runs, and settings that are told apart once seeds are left out.
    warning
        What makes settings hard to compare; may be empty.
    """

    title: str
    varied: Mapping[str, str]
    same: Mapping[str, str]
    n_runs: int
    n_settings: int
    warning: str
    drawings: Sequence[Drawing]
    tables: Sequence[Table]


def render(page: SweepPage) -> str:
    """Return the page as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    figures = [(drawing, Markup(_inline(drawing))) for drawing in page.drawings]  # noqa: S704  (drawn by us)
    return environment.get_template("sweep.html.jinja").render(page=page, figures=figures)


def groups_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows that differ in a seed only, by what tells them apart; in the rows' order, even dealings first."""
    names = dimensions(rows)
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: evenness(str(row.get(DEALING, "")))):
        label = ", ".join(told for name in names if (told := _told(name, row)))
        groups.setdefault(label or "all runs", []).append(row)
    return groups


def utility_table(groups: Mapping[str, Sequence[Row]]) -> Table:
    """Test AUC of every model under every setting, mean ± standard deviation over the seeds."""
    rows = [row for group in groups.values() for row in group]
    columns = {
        f"{words}, {view}": f"{model}.{view}.auc"
        for view in views(rows)
        for model, words in _MODELS.items()
        if any(row.get(f"{model}.{view}.auc") is not None for row in rows)
    }
    body = [
        (label, str(len(group)), *(_told_cell([row.get(name) for row in group]) for name in columns.values()))
        for label, group in groups.items()
    ]
    return Table(
        "AUC on the test records",
        ("setting", "runs", *columns),
        tuple(body),
        "Exact, mean ± standard deviation over the seeds. The word after the comma is the type whose columns are used. "
        "* trained without privacy; alone is the mean over the institutions of that type."
        + (_CLIENT_LEVEL if any(name.startswith("client_level.") for name in columns.values()) else ""),
    )


def gains_of(institutions: Mapping[str, Sequence[Row]]) -> list[Gains]:
    """Each institution's gain, mean over the seeds, under every setting that has one."""
    found = []
    for label, rows in institutions.items():
        by_kind: dict[str, list[float]] = {}
        for (kind, _), values in _by_institution(rows, "gain.auc").items():
            by_kind.setdefault(kind, []).append(statistics.fmean(values))
        if by_kind:
            found.append(Gains(label, {kind: tuple(values) for kind, values in by_kind.items()}))
    return found


def gain_table(gains: Sequence[Gains]) -> Table:
    """How many institutions gain, and by how much."""
    body = [
        (
            one.label,
            kind,
            f"{sum(value > 0 for value in values)} of {len(values)}",
            *(f"{figure(values):+.4f}" for figure in (min, statistics.median, max, statistics.fmean)),
        )
        for one in gains
        for kind, values in one.by_kind.items()
    ]
    return Table(
        "What institutions gain over training alone",
        ("setting", "type", "gain", "least", "median", "most", "mean"),
        tuple(body),
        "Joint model's AUC less the institution's own, which is trained without any privacy; both on the whole test "
        "set with the institution's columns.",
    )


def institution_table(institutions: Mapping[str, Sequence[Row]]) -> Table:
    """Every institution by name: its AUC alone, and what it gains under each setting.

    Its own model knows nothing of noise, but of how rows were dealt and to how many: where it differs between settings,
    each setting has a column of it.
    """
    alone = {label: _by_institution(rows, "alone.auc") for label, rows in institutions.items()}
    gained = {label: _by_institution(rows, "gain.auc") for label, rows in institutions.items()}
    names = list(dict.fromkeys(name for values in alone.values() for name in values))
    alike = all(len({tuple(own[name]) for own in alone.values() if name in own}) == 1 for name in names)
    own = {"AUC alone": _first_known(alone)} if alike else {f"AUC alone: {label}": alone[label] for label in alone}
    body = [
        (
            name[1],
            *(_pm(mean_and_sd(values.get(name, []))) for values in own.values()),
            *(_pm(mean_and_sd(values.get(name, [])), signed=True) for values in gained.values()),
        )
        for name in names
    ]
    return Table(
        "Each institution's gain",
        ("institution", *own, *(f"gain: {label}" for label in gained)),
        tuple(body),
        "Gain in AUC of the joint model over the institution's own; mean ± standard deviation over the seeds.",
    )


def _first_known(
    by_setting: Mapping[str, Mapping[tuple[str, str], list[float]]],
) -> dict[tuple[str, str], list[float]]:
    known: dict[tuple[str, str], list[float]] = {}
    for values in by_setting.values():
        known = {**values, **known}
    return known


def seeds_told(groups: Mapping[str, Sequence[Row]]) -> str:
    """A sentence where settings have different seeds, as in a sweep that is not finished; else nothing."""
    seeds = [sorted({str(row.get("settings.seed")) for row in rows}) for rows in groups.values()]
    if all(one == seeds[0] for one in seeds):
        return ""
    fewest, most = min(map(len, seeds)), max(map(len, seeds))
    return (
        f"Not every setting has the same seeds: some have {fewest}, some {most}, or others. A seed chooses the test "
        "records, so means over different seeds differ for that alone; finish the sweep before comparing them."
    )


def unfinished_told(rows: Sequence[Row]) -> str:
    """A sentence where jobs ended before their last round or lost institutions; else nothing."""
    short = sum(_number(row, "run.rounds_trained") < _number(row, "run.rounds_planned") for row in rows)
    fewer = sum(_number(row, "run.institutions_left") < _number(row, INSTITUTIONS) for row in rows)
    told = [(short, "trained fewer rounds than planned"), (fewer, "ended without some of their institutions")]
    return " ".join(f"{count} of {len(rows)} runs {what}." for count, what in told if count)


def _number(row: Row, column: str) -> float:
    value = row.get(column)
    return float(value) if isinstance(value, int | float) else 0.0


def _by_institution(rows: Sequence[Row], column: str) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if isinstance(value := row.get(column), float):
            found.setdefault((str(row["kind"]), str(row["institution"])), []).append(value)
    return found


def _told(name: str, row: Row) -> str:
    if name == EPSILON and row.get(name) is None:
        return ""
    if name == PLACEMENT and row.get(name) == "none":
        return "no noise"
    return named(name, row.get(name))


def settings_told(rows: Sequence[Row]) -> tuple[dict[str, str], dict[str, str]]:
    """What varied, with its values, and what all runs share."""
    names = dimensions(rows)
    varied = {label_of(name): ", ".join(dict.fromkeys(_value(row.get(name)) for row in rows)) for name in names}
    same = {
        name.removeprefix("settings."): _value(value)
        for name, value in rows[0].items()
        if name.startswith("settings.") and name not in names and all(row.get(name) == value for row in rows)
    }
    return varied, same


def _value(value: Cell) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _told_cell(values: Sequence[Cell]) -> str:
    """Mean and deviation, and of how many runs where some have none."""
    known = sum(value is not None for value in values)
    some = f" ({known} of {len(values)} runs)" if 0 < known < len(values) else ""
    return _pm(mean_and_sd(values)) + some


def _pm(both: tuple[float, float | None] | None, *, signed: bool = False) -> str:
    if both is None:
        return ""
    mean = f"{both[0]:+.4f}" if signed else f"{both[0]:.4f}"
    return mean if both[1] is None else f"{mean} ± {both[1]:.4f}"


def _inline(drawing: Drawing) -> str:
    """Return the SVG for embedding: the page's text colour, and ids of its own."""
    body = re.sub(r"<metadata>.*?</metadata>", "", drawing.svg[drawing.svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{drawing.name}-', body)
    body = body.replace("url(#", f"url(#{drawing.name}-").replace('xlink:href="#', f'xlink:href="#{drawing.name}-')
    return body.replace(INK, "currentColor").replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
