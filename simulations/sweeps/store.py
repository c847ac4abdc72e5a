"""The folder of a sweep: one file per finished point, and the tables that are made of them.

Every file appears whole, under its final name, so whatever ends a sweep keeps what is there, and two sweeps may write
at once. The tables hold every point of the folder: a second sweep into the same folder adds to them, if it is made of
the same things.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from fedcredit.errors import ConfigError, DataError
from simulations.stamp import stamp
from simulations.sweeps.made_of import require_alike
from simulations.sweeps.point import FinishedPoint, Point
from simulations.sweeps.rows import institution_rows, row_of

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]
_BITS = 63


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
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            stamp(self.path)
            with _whole(target) as partial:
                partial.write_text(finished, encoding="utf-8")

    def require_alike(self, points: Iterable[Point]) -> None:
        """Refuse points that do not belong into one table with those that are here.

        Raises
        ------
        ConfigError
            If they are made of other files or another version, or a point that is here cannot be read.
        """
        require_alike([*(point.made_of for point in self._found().values()), *(point.made_of for point in points)])

    def points(self) -> dict[str, FinishedPoint]:
        """Read every finished point, by name, in the order of their settings.

        Raises
        ------
        ConfigError
            If there is none, one cannot be read, or they are made of different files or versions.
        """
        found = self._found()
        require_alike(point.made_of for point in found.values())
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
        members = [row for name, point in points.items() for row in institution_rows(name, point)]
        with self._writing():
            with _whole(self.path / "sweep.csv") as partial:
                write_csv(partial, rows)
            with _whole(self.path / "sweep.parquet") as partial:
                pa_parquet.write_table(arrow_table(rows), partial)
            with _whole(self.path / "institutions.csv") as partial:
                write_csv(partial, members)
        return points

    def _found(self) -> dict[str, FinishedPoint]:
        found: dict[str, FinishedPoint] = {}
        for file in sorted((self.path / "points").glob("*.json")):
            try:
                point = FinishedPoint.from_json(file.read_text(encoding="utf-8"))
            except (OSError, ConfigError, DataError) as error:
                raise ConfigError(f"{file}: {error}") from error
            if point.name != file.stem:
                raise ConfigError(f"{file}: its settings are not those of its name; remove it, to run it again.")
            found[file.stem] = point
        return found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"run.dir={self.path} cannot be written to ({error.strerror}); choose another."
            ) from error

    def _file(self, name: str) -> Path:
        return self.path / "points" / f"{name}.json"


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A file of a name that nobody else has; it becomes the target if nothing goes wrong."""
    partial = target.with_name(f"{target.stem}.{uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows that may have different columns; what a row lacks stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def arrow_table(rows: Sequence[Row]) -> pa.Table:
    """Turn rows into columns; numbers beyond 64 bits, or beside other types as a list of layers is, are text."""
    return pa.table({name: _column([row.get(name) for row in rows]) for name in _columns(rows)})


def _column(values: list[Cell]) -> "pa.Array[Any]":
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    wide = any(isinstance(value, int) and value.bit_length() > _BITS for value in values)
    return pa.array(
        values if len(kinds) < 2 and not wide else [None if value is None else str(value) for value in values]
    )


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _order(row: Row) -> str:
    """Numbers by size and before texts, column by column."""
    cells = [(name, value) for name, value in row.items() if name.startswith("settings.")]
    return json.dumps([f"{value:+030.9f}" if isinstance(value, int | float) else f"~{value}" for _, value in cells])
