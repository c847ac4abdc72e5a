"""What others can make the SuperLink write into its log: one short line at a time, and few of a kind in a minute.

Flower and uvicorn log what a request names, and a line for each request that is wrong. Anybody could so fill the disk,
push what an operator looks for out of the log that is kept, write lines that look like others, or send the operator's
terminal control characters.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_A_MINUTE = 30
LONGEST_LINE, LONGEST_TRACE = 500, 4000
_MINUTE_S = 60.0
_FORMATTER = logging.Formatter()


@dataclass(slots=True)
class _Kind:
    """Lines that one place in the code has written in the minute that began at `began`."""

    began: float
    written: int = 0
    left_out: int = 0


class Curb(logging.Filter):
    """Shortens and cleans what is logged, and leaves out what one place in the code says too often.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # As many as there are places in the code.
        self._kinds: dict[tuple[str, int], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written; its text is plain afterwards."""
        left_out = self._left_out((record.pathname, record.lineno))
        if left_out is None:
            return False
        more = f" (and {left_out} more like it, which are not shown)" if left_out else ""
        record.msg, record.args = _plain(_text(record), LONGEST_LINE) + more, None
        if record.exc_info:
            # What went wrong stands last.
            lines = _FORMATTER.formatException(record.exc_info)[-LONGEST_TRACE:].splitlines()
            record.exc_text = "\n".join(f"  | {_plain(line, LONGEST_LINE)}" for line in lines)
        return True

    def _left_out(self, place: tuple[str, int]) -> int | None:
        """How many of a kind were left out since one was written; None if this one is left out too."""
        now = self._clock()
        kind = self._kinds.setdefault(place, _Kind(now))
        if now - kind.began >= _MINUTE_S:
            kind.began, kind.written = now, 0
        if kind.written == MOST_A_MINUTE:
            kind.left_out += 1
            return None
        kind.written += 1
        left_out, kind.left_out = kind.left_out, 0
        return left_out


def curb_logs() -> None:
    """Curb all that this process logs, by whichever logger; its handlers have to be there already."""
    curb = Curb()
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    handlers = {handler for logger in loggers for handler in logger.handlers}
    for handler in handlers if logging.lastResort is None else {*handlers, logging.lastResort}:
        handler.addFilter(curb)


def _text(record: logging.LogRecord) -> str:
    """What it says; a library's mistake in its format is no reason to fail what it logs."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


def _plain(text: str, longest: int) -> str:
    """One line without control characters, and not too long."""
    # Cut first: it may be very long.
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in _shortened(text, longest))


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … {len(text) - longest} more"
