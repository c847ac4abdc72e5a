"""Log lines as JSON, one object a line: time, level, event, fields.

Lines that this package is known to write get a short name and named fields. Of an exception its type and the places
that it passed are kept, and not its text, which could quote a value.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# The lines of this package, by format: a name, and what each argument is.
EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "the audit trail could not be ended": ("trail-not-ended", ()),
    "the ledger could not be read for the audit trail": ("ledger-not-read", ()),
    "audit trail %s cannot be written (%s); check its disk.": ("trail-not-written", ("path", "reason")),
    "request failed at %s": ("request-failed", ("institution",)),
    "%s stopped every job under this site's roster": ("roster-stopped", ("member",)),
    "%s refused a request (%s): %s": ("request-refused", ("institution", "code", "sentence")),
    "the module failed on a record, which counts as zeros": ("module-failed", ()),
    "a call failed": ("call-failed", ()),
    "a connection ended early": ("connection-ended-early", ()),
    "no peer is answered: %s": ("peers-not-answered", ("reason",)),
    "nobody is decided on: %s": ("nothing-decided", ("reason",)),
    "persons who stand in several rows are refused": ("persons-repeated", ()),
    "the module failed on a record, which scores 0": ("module-failed", ()),
}
OTHER = "message"


class JsonFormatter(logging.Formatter):
    """Writes a log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        name, names = EVENTS.get(str(record.msg), (OTHER, ()))
        given = record.args if isinstance(record.args, tuple) else ()
        fields: dict[str, Any] = {"logger": record.name}
        if len(names) == len(given) and name != OTHER:
            fields |= {key: str(value) for key, value in zip(names, given, strict=True)}
        else:
            fields["text"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            fields |= {"error": record.exc_info[0].__name__, "passed": places(record.exc_info[2])}
        return event_line(name, record.levelname.lower(), datetime.fromtimestamp(record.created, UTC), fields)


def event_line(event: str, level: str, at: datetime, fields: Mapping[str, Any]) -> str:
    """One line: an event's name, its level, its time in UTC, and its fields."""
    return json.dumps({"time": at.isoformat(), "level": level, "event": event, **fields}, ensure_ascii=False)


def places(trace: Any) -> list[str]:  # noqa: ANN401  (types.TracebackType or None)
    """Where an exception passed, outermost first."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
