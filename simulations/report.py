"""``python -m simulations.report SWEEP``: what a sweep found, as figures (SVG and PNG) and one page.

What is drawn follows from what varied: a curve over every quantity that has an order, and each institution's gain over
training alone.
"""

import re
from collections.abc import Collection
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.ending import run
from simulations.stamp import stamp
from simulations.sweeps.curves import Picture, Row, axes_of, derived, named, pictures
from simulations.sweeps.figures import Drawing, curve_figure, gain_figure
from simulations.sweeps.page import (
    MOST_NAMED,
    SweepPage,
    Table,
    gain_table,
    gains_of,
    groups_of,
    institution_table,
    render,
    seeds_told,
    settings_told,
    unfinished_told,
    utility_table,
)
from simulations.sweeps.rows import institution_rows, row_of
from simulations.sweeps.store import SweepFolder

MOST_DRAWN = 16
"""Most settings whose gains are drawn row by row, and most columns of a table by institution."""
_LONGEST_NAME = 150
_FIGURES = {"auc": ("AUC", "AUC on the test records"), "gain": ("Gain over alone", "gain in AUC over training alone")}


def report(folder: Path) -> Path:
    """Write ``report/index.html`` and ``report/figures/`` into a sweep's folder, and return the page's path.

    Raises
    ------
    ConfigError
        If the folder holds no finished point.
    """
    points = SweepFolder(folder).points()
    rows: list[Row] = [*derived([row_of(name, point) for name, point in points.items()])]
    members: list[Row] = [
        *derived(
            [{**row_of(name, point), **one} for name, point in points.items() for one in institution_rows(name, point)]
        )
    ]
    groups = groups_of(rows)
    by_setting = groups_of(members)
    drawings = [*_curves(rows), *_gains(by_setting)]
    varied, same = settings_told(rows)
    warning = f"{seeds_told(groups)} {unfinished_told(rows)}".strip()
    page = SweepPage(
        "Sweep: " + (", ".join(varied) or "one setting"), varied, same, len(rows), len(groups), warning, drawings,
        [utility_table(groups), *_gain_tables(by_setting)],
    )  # fmt: skip
    target = folder / "report"
    (target / "figures").mkdir(parents=True, exist_ok=True)
    stamp(target)
    for drawing in drawings:
        drawing.write(target / "figures")
    (target / "index.html").write_text(render(page), encoding="utf-8")
    return target / "index.html"


def _curves(rows: list[Row]) -> list[Drawing]:
    return [
        curve_figure(picture, name, _heading(_FIGURES[figure][0], picture), _FIGURES[figure][1])
        for name, (figure, picture) in named_pictures(rows).items()
    ]


def named_pictures(rows: list[Row]) -> dict[str, tuple[str, Picture]]:
    """Figure and picture by the name of their files, which no two share."""
    found: dict[str, tuple[str, Picture]] = {}
    for axis in axes_of(rows):
        for figure in _FIGURES:
            for picture in pictures(rows, axis, figure):
                if any(picture.panels.values()):
                    found[_free(_file_name(figure, picture), found)] = figure, picture
    return found


def _gains(by_setting: dict[str, list[Row]]) -> list[Drawing]:
    gains = gains_of(by_setting)
    shown = gains[:MOST_DRAWN]
    left_out = f"; {len(gains) - len(shown)} more are in the table" if len(gains) > len(shown) else ""
    heading = f"Gain of each institution over training alone{left_out}"
    return [gain_figure(shown, "institutions", heading)] if shown else []


def _gain_tables(by_setting: dict[str, list[Row]]) -> list[Table]:
    gains = gains_of(by_setting)
    if not gains:
        return []
    names = {str(row["institution"]) for rows in by_setting.values() for row in rows}
    named_too = len(names) <= MOST_NAMED and len(by_setting) <= MOST_DRAWN
    return [gain_table(gains), *([institution_table(by_setting)] if named_too else [])]


def _heading(title: str, picture: Picture) -> str:
    where = ", ".join(named(name, value) for name, value in picture.where.items())
    return f"{title} by {picture.axis.label}" + (f"; {where}" if where else "")


def _file_name(figure: str, picture: Picture) -> str:
    words = [figure, "by", picture.axis.column.rpartition(".")[2]]
    words += [f"{name.rpartition('.')[2]}-{value}" for name, value in picture.where.items()]
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).strip("-").lower()[:_LONGEST_NAME]


def _free(name: str, taken: Collection[str]) -> str:
    """The name, numbered where it is taken: -1 and 1, or two keys that end alike, are one without signs and dots."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)


def main(arguments: list[str] | None = None) -> None:
    """Draw the sweep that the command line names."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(_command)
    run(lambda: command(arguments, prog_name="python -m simulations.report"))


def _command(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, as `python -m simulations -m` printed it.")],
) -> None:
    """Draw what a sweep found: curves, gains and one HTML page, into SWEEP/report."""
    typer.echo(f"report: {report(sweep).absolute()}")


if __name__ == "__main__":
    main()
