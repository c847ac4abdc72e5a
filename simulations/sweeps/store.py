"""The folder of a sweep: one file per finished point, and the tables that are made of them.

A point's file appears whole, under its final name, when the point is done, so whatever ends a sweep keeps what is
there. The tables hold every point of the folder: a second sweep into the same folder adds to them.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from fedcredit.errors import ConfigError, DataError
from simulations.stamp import stamp
from simulations.sweeps.point import FinishedPoint, Point
from simulations.sweeps.rows import institution_rows, row_of

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]


class SweepFolder:
    """The folder of a sweep, made when the first point is written.

    Parameters
    ----------
    path
        Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def has(self, point: Point) -> bool:
        """Whether the point is finished."""
        return self._file(point.name).exists()

    def write(self, point: Point, finished: str) -> None:
        """Keep a finished point's text.

        Raises
        ------
        ConfigError
            If the folder cannot be written to.
        """
        target = self._file(point.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            stamp(self.path)
            partial = target.with_suffix(".partial")
            partial.write_text(finished, encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise ConfigError(
                f"run.dir={self.path} cannot be written to ({error.strerror}); choose another."
            ) from error

    def points(self) -> dict[str, FinishedPoint]:
        """Read every finished point, by name, in the order of their settings.

        Raises
        ------
        ConfigError
            If there is none, or one cannot be read.
        """
        found: dict[str, FinishedPoint] = {}
        for file in sorted((self.path / "points").glob("*.json")):
            try:
                found[file.stem] = FinishedPoint.from_json(file.read_text(encoding="utf-8"))
            except (OSError, ConfigError, DataError) as error:
                raise ConfigError(f"{file}: {error}") from error
        if not found:
            raise ConfigError(f"{self.path} holds no finished point of a sweep; name the folder that a sweep printed.")
        return dict(sorted(found.items(), key=lambda item: _order(row_of(*item))))

    def write_tables(self) -> dict[str, FinishedPoint]:
        """Write ``sweep.csv`` and ``sweep.parquet``, one row per run, and ``institutions.csv``, one per institution.

        Returns
        -------
        dict
            The points that they hold.
        """
        points = self.points()
        rows = [row_of(name, point) for name, point in points.items()]
        write_csv(self.path / "sweep.csv", rows)
        pa_parquet.write_table(arrow_table(rows), self.path / "sweep.parquet")
        write_csv(
            self.path / "institutions.csv",
            [row for name, point in points.items() for row in institution_rows(name, point)],
        )
        return points

    def _file(self, name: str) -> Path:
        return self.path / "points" / f"{name}.json"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows that may have different columns; what a row lacks stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def arrow_table(rows: Sequence[Row]) -> pa.Table:
    """Turn rows into columns; one whose values are of different types, as a list of layers and a number, is text."""
    return pa.table({name: _column([row.get(name) for row in rows]) for name in _columns(rows)})


def _column(values: list[Cell]) -> "pa.Array[Any]":
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    return pa.array(values if len(kinds) < 2 else [None if value is None else str(value) for value in values])


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _order(row: Row) -> str:
    """Numbers by size and before texts, column by column."""
    cells = [(name, value) for name, value in row.items() if name.startswith("settings.")]
    return json.dumps([f"{value:+030.9f}" if isinstance(value, int | float) else f"~{value}" for _, value in cells])
