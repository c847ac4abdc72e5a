"""A sweep: checks all points, runs those that are not finished, and writes the tables.

Hydra composes the points; a launcher runs them; this module stands between and tells how far it is.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedcredit.errors import ConfigError, FedcreditError
from simulations.config_tree import SweepKeys, parse_config
from simulations.sweeps.made_of import require_alike
from simulations.sweeps.on_ray import on_ray
from simulations.sweeps.point import Answer, FinishedPoint, Point, check, point_of
from simulations.sweeps.pool import in_processes
from simulations.sweeps.store import SweepFolder
from simulations.sweeps.summary import summary_of
from simulations.tables import sweep_table

_SECONDS_BETWEEN_LINES = 10.0


def sweep(configs: Sequence[Mapping[str, Any]], folder: Path, console: Console) -> None:
    """Run a sweep.

    Parameters
    ----------
    configs
        Composed configurations, plain values.
    folder
        Where it goes; finished points in it are not run again.

    Raises
    ------
    FedcreditError
        If a setting of any point is unusable, before any is run; or if a point fails, which ends the sweep and keeps
        what is finished.
    """
    target = SweepFolder(folder)
    points = {point.name: point for number, config in enumerate(configs) for point in [_named(number, config)]}
    keys = _keys(configs)
    target.require_alike(points.values())
    missing = [point for point in points.values() if not target.has(point)]
    console.print(f"sweep: {len(points)} points, {len(points) - len(missing)} of them finished before")
    for point in missing:
        _checked(point)
    for point, finished in _told(_finished(missing, keys), len(missing), console):
        target.write(point, finished)
    console.print(sweep_table(summary_of(target.write_tables().values())))
    console.print(f"sweep: {target.path}", soft_wrap=True)


def _keys(configs: Sequence[Mapping[str, Any]]) -> SweepKeys:
    """How all points are run; what says where and how cannot vary between them."""
    trees = [parse_config(config) for config in configs]
    for name in ("run", "sweep"):
        if any(getattr(tree, name) != getattr(trees[0], name) for tree in trees):
            raise ConfigError(
                f"a key of {name} has several values, but a sweep has one folder and launcher; give it one."
            )
    return trees[0].sweep


def _named(number: int, config: Mapping[str, Any]) -> Point:
    try:
        return point_of(number, config)
    except FedcreditError as error:
        raise ConfigError(f"run {number} of the sweep: {error}") from error


def _checked(point: Point) -> None:
    try:
        check(point)
    except FedcreditError as error:
        raise ConfigError(f"run {point.number} of the sweep: {error}") from error


def _finished(points: Sequence[Point], keys: SweepKeys) -> Iterator[tuple[Point, str]]:
    if not points:
        return
    for index, answer in _answers([point.config for point in points], keys):
        if answer.finished is None:
            raise ConfigError(f"run {points[index].number} of the sweep: {answer.error}")
        _require_same(points[index], FinishedPoint.from_json(answer.finished))
        yield points[index], answer.finished


def _require_same(asked: Point, finished: FinishedPoint) -> None:
    """Refuse figures of a machine that has other files or another version, or of a file that has changed since."""
    if finished.name == asked.name:
        return
    place = f"run {asked.number} of the sweep, at {finished.worker}"
    try:
        require_alike([asked.made_of, finished.made_of])
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    raise ConfigError(f"{place}: its settings are not those that were asked for; use one version everywhere.")


def _answers(configs: Sequence[Mapping[str, Any]], keys: SweepKeys) -> Iterator[tuple[int, Answer]]:
    match keys.launcher:
        case "processes":
            return in_processes(configs, keys.workers)
        case "ray":
            return on_ray(configs, keys.workers, keys.address)


def _told(points: Iterator[tuple[Point, str]], total: int, console: Console) -> Iterator[tuple[Point, str]]:
    """Show how many are done and how long the rest will take: a bar, or a line now and then where none can be drawn."""
    if console.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("sweep", total=total)
            for point in points:
                yield point
                progress.advance(bar)
        return
    began = said = time.monotonic()
    for done, point in enumerate(points, start=1):
        yield point
        now = time.monotonic()
        if now - said >= _SECONDS_BETWEEN_LINES or done == total:
            said = now
            left = (now - began) / done * (total - done)
            console.print(f"{done}/{total} points in {now - began:.0f} s, about {left:.0f} s left")
