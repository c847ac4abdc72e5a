"""Log lines as text; of an exception its type and the places that it passed, as in `fedcredit.custodian.json_log`.

What an exception says may quote a value of a record, above all one that a reviewed module's own code raised; and a log
is read, shipped and kept by more people than the records are.
"""

import logging
import sys
from types import TracebackType
from typing import Any

from fedcredit.custodian.json_log import places


class TextFormatter(logging.Formatter):
    """Writes a log record as a line, and an exception below it without its text."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  (logging's types and name)
        """Return type and places, a line each, without source lines."""
        return "\n".join((ei[0].__name__, *(f"  {place}" for place in places(ei[2]))))


def say_no_text(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """A `sys.excepthook` for processes that hold records."""
    sys.stderr.write("\n".join((kind.__name__, *(f"  {place}" for place in places(trace)), "")))
