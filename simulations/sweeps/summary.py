"""Points of a sweep that differ in a seed only, together."""

import json
from collections.abc import Iterable

from simulations.results import RunResult, SweepPoint
from simulations.sweeps.point import FinishedPoint
from simulations.sweeps.rows import Cell, flat_settings

FAMILY = "settings.model.family"
SEEDS = ("settings.seed", "settings.noise.seed")


def summary_of(points: Iterable[FinishedPoint]) -> list[SweepPoint]:
    """Group points that differ in a seed only; of the settings, keep those that vary."""
    taken = [(flat_settings(point.settings), point.result) for point in points]
    names = varied([settings for settings, _ in taken])
    groups: dict[str, tuple[dict[str, str], list[RunResult]]] = {}
    for settings, result in taken:
        shown = {name.removeprefix("settings."): _text(settings[name]) for name in names if name in settings}
        groups.setdefault(json.dumps(shown), (shown, []))[1].append(result)
    return [SweepPoint(settings, tuple(results)) for settings, results in groups.values()]


def varied(rows: list[dict[str, Cell]]) -> list[str]:
    """Names of the settings that differ between rows, seeds left out.

    A row that lacks one differs, unless it is of another model family, which does not know the setting.
    """
    names = dict.fromkeys(name for row in rows for name in row if name.startswith("settings.") and name not in SEEDS)
    return [
        name
        for name in names
        if len({(row.get(name), name in row) for row in rows}) > 1 and not _told_by_family(name, rows)
    ]


def _told_by_family(name: str, rows: list[dict[str, Cell]]) -> bool:
    """Whether a setting has one value wherever a family knows it, so that the family tells all."""
    of = {present: {row.get(FAMILY) for row in rows if (name in row) == present} for present in (True, False)}
    values = {row[name] for row in rows if name in row}
    return name != FAMILY and bool(of[False]) and len(values) == 1 and not of[True] & of[False]


def _text(value: Cell) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
