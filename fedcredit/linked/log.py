"""The log of links: every offer that left, and every table that was made of one, at the institution that did it.

Lines are those of the audit trail, chained and signed, in a file of their own beside it: a custodian that serves is the
only writer of its trail, and offers are made while it serves. ``fedcredit audit verify`` checks either.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcredit.audit.lines import BEFORE_FIRST, read_lines, require_signed, write_line
from fedcredit.audit.trail_file import TrailFile, damaged
from fedcredit.errors import LedgerError
from fedcredit.wire.envelope import SigningKey


def link_log_of(ledger: Path) -> Path:
    """The log that belongs to a ledger."""
    return ledger.with_name(ledger.name + ".linked.jsonl")


def record(path: Path, key: SigningKey, now: datetime, values: Mapping[str, Any]) -> None:
    """Write one line; it is on the disk when this returns, and only then may anything leave.

    Raises
    ------
    LedgerError
        If the log does not hold, or cannot be written.
    """
    file = TrailFile(path)
    try:
        lines = list(read_lines(file.read(), str(path)))
        require_signed(lines[-1:], (key.public,), str(path))
    except LedgerError as error:
        raise damaged(error) from error
    entry = {"at": now.isoformat(), "public_key": key.public.hex(), **values, "ledger": {"new": []}}
    line, _ = write_line(key, entry, lines[-1].link if lines else BEFORE_FIRST)
    try:
        file.append(line)
    except OSError as error:
        raise LedgerError(f"log of links {path} cannot be written ({error.strerror}); nothing is offered.") from error
