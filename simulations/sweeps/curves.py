"""From a sweep's tidy rows to curves: what varied, what stands on the axis, mean and spread over the seeds.

An axis is a quantity that varied: ε, the number of institutions, how unevenly rows are dealt, or any other number.
Curves of one picture differ in one more setting (the placement of noise, where it varied); each value of all others
has a picture of its own.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulations.sweeps.rows import Cell
from simulations.sweeps.summary import SEEDS, varied

Row = Mapping[str, Cell]
PLACEMENT = "noise"
EPSILON = "settings.privacy.epsilon"
INSTITUTIONS = "run.institutions"
DEALING = "rows dealt"
_DEALT = ("settings.federation.split", "settings.federation.alpha", "settings.federation.split_column")
_MEMBERS = ("settings.federation.banks", "settings.federation.hospitals")
_PLACED = ("settings.privacy.placement",)
_OF_DEALING = (*_DEALT, "settings.data.source")
_DELTA = "settings.privacy.delta"
_SOURCES = {"uci_credit": "columns by type", "uci_credit_flat": "all columns everywhere"}


@dataclass(frozen=True, slots=True)
class Axis:
    """What stands on the x axis.

    Attributes
    ----------
    column
        Of the rows.
    label
        In words.
    ticks
        Names of the positions 0, 1, …, or empty for a numeric axis.
    logarithmic
        Whether steps are ratios.
    """

    column: str
    label: str
    ticks: tuple[str, ...] = ()
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean and sample standard deviation over the seeds.

    Attributes
    ----------
    stddev
        None where there is one run.
    flat
        Whether it has no x of its own (no noise, no ε).
    rival
        What it is, of a model beside the joint one; empty for the joint one.
    beside
        Label of the joint curve whose setting it shares; empty where it is the same beside all.
    """

    label: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    stddev: tuple[float | None, ...]
    flat: bool = False
    rival: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One axis and one value of all other settings; curves per view."""

    axis: Axis
    where: Mapping[str, Cell]
    panels: Mapping[str, tuple[Curve, ...]]


def derived(rows: Sequence[Row]) -> list[dict[str, Cell]]:
    """Rows whose varied settings are told in the reader's terms.

    The placement is the one that took part (``auto`` chooses); institution numbers become one column; split, α, column
    and the owners of the blocks become `DEALING`, unless α alone varied.
    """
    names = set(varied([dict(row) for row in rows]))
    dealt = names & {*_DEALT, "settings.data.source"}
    by_name = bool(dealt - {"settings.federation.alpha"})
    members = {tuple(row[name] for name in _MEMBERS) for row in rows}
    mixed = len(members) > len({row[INSTITUTIONS] for row in rows})
    # Runs without noise have no δ; it says nothing new where the others share one.
    noised = {row.get(_DELTA) for row in rows if row["run.placement"] != "none"}
    hidden = {*_PLACED, *_MEMBERS, *([_DELTA] if len(noised) < 2 else []), *(_OF_DEALING if by_name else ())}
    lacking = {name for row in rows for name in row if not all(name in other for other in rows)}
    hidden |= {name for name in lacking if name.startswith("settings.") and name not in names}
    sourced = "settings.data.source" in names
    return [_derived(row, hidden, sourced if by_name else None, mixed=mixed) for row in rows]


def dimensions(rows: Sequence[Row]) -> list[str]:
    """Columns that vary, in the order in which they are asked to be an axis."""
    names = dict.fromkeys([EPSILON, DEALING, INSTITUTIONS, *(name for row in rows for name in row), PLACEMENT])
    derived_names = (DEALING, INSTITUTIONS, PLACEMENT)
    asked = [name for name in names if name in derived_names or (name.startswith("settings.") and name not in SEEDS)]
    return [name for name in asked if len({row.get(name) for row in rows if name != EPSILON or row.get(name)}) > 1]


def axes_of(rows: Sequence[Row]) -> list[Axis]:
    """Every varied quantity that has an order."""
    return [axis for name in dimensions(rows) if (axis := _axis(name, [row.get(name) for row in rows])) is not None]


def pictures(rows: Sequence[Row], axis: Axis, figure: str) -> list[Picture]:
    """Curves of one figure (``auc`` or ``gain``) along an axis."""
    others = [name for name in dimensions(rows) if name != axis.column]
    series = PLACEMENT if PLACEMENT in others else (others[0] if others else None)
    kept = [name for name in others if name != series]
    facets: dict[tuple[Cell, ...], list[Row]] = {}
    for row in rows:
        facets.setdefault(tuple(row.get(name) for name in kept), []).append(row)
    return [
        Picture(
            axis,
            dict(zip(kept, values, strict=True)),
            {view: tuple(_curves(chosen, axis, series, view, figure)) for view in views(rows)},
        )
        for values, chosen in facets.items()
        if len({row.get(axis.column) for row in chosen}) > 1
    ]


def views(rows: Sequence[Row]) -> list[str]:
    """Institution types whose columns the joint model was scored with."""
    names = dict.fromkeys(name.split(".")[1] for row in rows for name in row if name.startswith("alone."))
    return list(names)


def mean_and_sd(values: Iterable[Cell]) -> tuple[float, float | None] | None:
    """Mean and sample standard deviation of what is known; None of nothing, and no deviation of one."""
    known = [float(value) for value in values if isinstance(value, int | float)]
    return (statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None) if known else None


def named(column: str, value: Cell) -> str:
    """A setting in a legend or heading: ``rounds 20``; a placement or a dealing speaks for itself."""
    text = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    if column == DEALING:
        return text
    return f"{text} noise" if column == PLACEMENT else f"{label_of(column)} {text}"


def label_of(column: str) -> str:
    """A column in words."""
    known = {EPSILON: "ε", INSTITUTIONS: "institutions", "settings.federation.alpha": "Dirichlet α"}
    return known.get(column, column.removeprefix("settings.").replace("federation.", "").replace("model.", ""))


def _derived(row: Row, hidden: set[str], sourced: bool | None, *, mixed: bool) -> dict[str, Cell]:
    """One row without what is hidden; how it was dealt in words, with the source or not, unless that is None."""
    kept = {name: value for name, value in row.items() if name not in hidden}
    kept[PLACEMENT] = row["run.placement"]
    if mixed:
        kept["settings.banks : hospitals"] = " : ".join(str(row[name]) for name in _MEMBERS)
    if sourced is not None:
        kept[DEALING] = _dealing(row, with_source=sourced)
    return kept


def _dealing(row: Row, *, with_source: bool) -> str:
    split, alpha, column = (row[name] for name in _DEALT)
    words = {"dirichlet": f"Dirichlet α = {alpha:g}", "column": f"by {column}"}.get(str(split), str(split))
    source = str(row["settings.data.source"])
    return f"{words}, {_SOURCES.get(source, source)}" if with_source else words


def _axis(column: str, values: list[Cell]) -> Axis | None:
    if column == DEALING:
        return Axis(column, "how rows are dealt", tuple(sorted({str(value) for value in values}, key=evenness)))
    known = {value for value in values if value is not None}
    if any(isinstance(value, bool | str) for value in known):
        return None
    numbers = sorted(float(value) for value in known if isinstance(value, int | float))
    label = {EPSILON: "ε of the whole job", "settings.federation.alpha": "Dirichlet α (smaller is more uneven)"}
    ratio = numbers[0] > 0 and numbers[-1] >= 4 * numbers[0]
    return Axis(column, label.get(column, label_of(column)), (), ratio)


def evenness(dealing: str) -> tuple[int, float, str]:
    """Order of dealings: even ones first, then ever smaller α, then columns."""
    if dealing.startswith("iid"):
        return 0, 0.0, dealing
    alpha = dealing.removeprefix("Dirichlet α = ").split(",")[0]
    return (1, -float(alpha), dealing) if dealing.startswith("Dirichlet") else (2, 0.0, dealing)


def _curves(rows: Sequence[Row], axis: Axis, series: str | None, view: str, figure: str) -> Iterable[Curve]:
    column = f"joint.{view}.auc" if figure == "auc" else f"gain.{view}.auc"
    by_series: dict[Cell, list[Row]] = {}
    for row in rows:
        by_series.setdefault(row.get(series) if series else None, []).append(row)
    for value in sorted(by_series, key=_numbers_first):
        label = named(series, value) if series else "joint"
        label = "joint, no noise" if label == "none noise" else label
        yield from _curve(label, by_series[value], axis, column)
    if figure == "auc":
        for model in ("pooled", "alone"):
            yield from _rivals(model, by_series, axis, series, view)


def _rivals(
    model: str, by_series: Mapping[Cell, Sequence[Row]], axis: Axis, series: str | None, view: str
) -> Iterable[Curve]:
    """A rival without privacy: one curve where noise is all that differs or it is the same, else one per setting."""
    rival, column = f"{model}, no privacy", f"{model}.{view}.auc"
    if series is None or series == PLACEMENT:
        by_series = {None: [row for rows in by_series.values() for row in rows]}
    found = {
        value: own
        for value in sorted(by_series, key=_numbers_first)
        if (own := [replace(curve, rival=rival) for curve in _curve(rival, by_series[value], axis, column)])
    }
    alike = len({tuple(own) for own in found.values()}) == 1
    for value, own in list(found.items())[: 1 if alike else None]:
        beside = "" if alike or series is None else named(series, value)
        yield from (replace(one, label=f"{rival}; {beside}" if beside else rival, beside=beside) for one in own)


def _curve(label: str, rows: Sequence[Row], axis: Axis, column: str) -> Iterable[Curve]:
    by_x: dict[float, list[Cell]] = {}
    for row in rows:
        if (x := _position(axis, row.get(axis.column))) is not None:
            by_x.setdefault(x, []).append(row.get(column))
    points = [(x, both) for x in sorted(by_x) if (both := mean_and_sd(by_x[x])) is not None]
    if points:
        means, stddevs = zip(*(both for _, both in points), strict=True)
        yield Curve(label, tuple(x for x, _ in points), means, stddevs)
    elif not by_x and (both := mean_and_sd(row.get(column) for row in rows)) is not None:
        yield Curve(label, (), (both[0],), (both[1],), flat=True)


def _position(axis: Axis, value: Cell) -> float | None:
    if axis.ticks:
        return float(axis.ticks.index(str(value)))
    return float(value) if isinstance(value, int | float) else None


def _numbers_first(value: Cell) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, str(value)
