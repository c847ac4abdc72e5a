"""How far the reading of a large table is: a bar where a terminal can draw one, else a line now and then.

A table that is read within seconds says nothing.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedcredit.cli.serving import LogFormat, say
from fedcredit.custodian.data_process import OnReading, Reading

SECONDS_BETWEEN_LINES = 10.0
SLOW_ROWS = 250_000
"""A table of more rows takes seconds to work off, once it has been read whole."""


@contextmanager
def shown(log_format: LogFormat, institution: str) -> Iterator[OnReading]:
    """Show what is told meanwhile.

    Parameters
    ----------
    log_format
        JSON is for whoever collects it, also at a terminal.
    """
    if log_format is LogFormat.TEXT and sys.stderr.isatty():
        with _bar(institution) as on_reading:
            yield on_reading
    else:
        yield Lines(log_format, institution)


class Lines:
    """A line of the log now and then.

    Parameters
    ----------
    between
        Seconds that a line waits for the one before, the first one for the start.
    """

    def __init__(self, log_format: LogFormat, institution: str, between: float = SECONDS_BETWEEN_LINES) -> None:
        self._log_format, self._institution, self._between = log_format, institution, between
        self._began = self._said = time.monotonic()

    def __call__(self, reading: Reading) -> None:
        """Say how far it is, unless that was said just now."""
        now = time.monotonic()
        if reading.done is None:
            if reading.rows > SLOW_ROWS:
                self._say({"rows": reading.rows}, "read; cells, roles and hashes come next")
        elif now - self._said >= self._between and reading.done > 0:
            self._said = now
            left = round((now - self._began) * (1 - reading.done) / reading.done)
            percent = int(100 * reading.done)
            told = {"rows": reading.rows, "percent": percent, "seconds_left": left}
            self._say(told, f"{percent} %, about {left} s left")

    def _say(self, fields: dict[str, Any], words: str) -> None:
        told = f"{self._institution}: {fields['rows']:,} rows, {words}"
        say(self._log_format, "reading", {"institution": self._institution, **fields}, told)


@contextmanager
def _bar(institution: str) -> Iterator[OnReading]:
    # Imported where there is a terminal: a service has no use for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    rows = TextColumn("{task.fields[rows]:,} rows")
    columns = (TextColumn("{task.description}"), BarColumn(), rows, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"reading {institution}", total=None, rows=0)

        def on_reading(reading: Reading) -> None:
            total = None if reading.done is None else 1.0
            progress.update(bar, total=total, completed=reading.done or 0.0, rows=reading.rows)

        yield on_reading
