"""What every command that serves needs: its log, what it prints, and the signals that end it."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from types import FrameType
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
def stop_signals() -> Iterator[Callable[[], int]]:
    """Catch SIGTERM and SIGINT; what is yielded waits for the first of them, even if it came before, and says which.

    Python runs a handler in the main thread, between two of its instructions. A main thread that is about to sleep on
    a lock or a queue, or whose signal another thread of the process took, is not woken, and would hear of it never. So
    the wait reads a pipe, into which the interpreter writes at the moment of the signal, in whatever thread that is
    (`signal.set_wakeup_fd`).
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _written_down) for number in _STOP}
    try:
        yield lambda: _first_stop(reader)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        os.close(reader)
        os.close(writer)


def _written_down(_number: int, _frame: FrameType | None) -> None:
    """Nothing is left to do: the pipe has it. Without a handler of ours nothing would be written."""


def _first_stop(reader: int) -> int:
    """The first stop signal in the pipe; other signals that the process handles are passed over."""
    while (number := os.read(reader, 1)[0]) not in _STOP:
        continue
    return number
