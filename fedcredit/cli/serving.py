"""What every command that serves needs: its log, what it prints, and the signals that end it."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from queue import SimpleQueue
from typing import Any

import typer

from fedcredit.custodian.json_log import JsonFormatter, event_line
from fedcredit.custodian.text_log import TextFormatter


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


_STOP = (signal.SIGTERM, signal.SIGINT)


def log_to_stderr(log_format: LogFormat) -> None:
    """Write log lines to standard error; in neither form with the text of an exception."""
    logging.basicConfig(level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())


def say(log_format: LogFormat, event: str, fields: dict[str, Any], words: str) -> None:
    """Print what an operator, or whatever started this process, waits for."""
    line = event_line(event, "info", datetime.now(UTC), fields) if log_format is LogFormat.JSON else f"{event} {words}"
    typer.echo(line.rstrip())


@contextmanager
def stop_signals() -> Iterator[Callable[[], object]]:
    """Catch SIGTERM and SIGINT; what is yielded waits for the first of them, even if it came before."""
    heard: SimpleQueue[int] = SimpleQueue()  # its put is safe inside a signal handler
    before = {number: signal.signal(number, lambda number, _: heard.put(number)) for number in _STOP}
    try:
        yield heard.get
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
