"""The log of links: every offer that left, and every table that was made of one, at the institution that did it.

Lines are those of the audit trail, chained and signed, in a file of their own beside it: a custodian that serves is the
only writer of its trail, and offers are made while it serves. ``fedcredit audit verify`` checks either.

A chain shows that a line in the middle is missing, and not that the last ones are, or all of them. So an offer names
its own line and the hash of the one before, and the log of whoever uses it keeps both: each log witnesses the other.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcredit.audit.lines import (
    BEFORE_FIRST,
    Line,
    Link,
    key_change,
    names_next,
    read_lines,
    require_signed_in_turn,
    write_line,
)
from fedcredit.audit.trail_file import TrailFile, damaged
from fedcredit.errors import LedgerError
from fedcredit.wire.envelope import SigningKey


def link_log_of(ledger: Path) -> Path:
    """The log that belongs to a ledger."""
    return ledger.with_name(ledger.name + ".linked.jsonl")


def newest(path: Path, key: SigningKey) -> Link:
    """The line after which the next one is written; nothing is made where there is no log yet.

    Raises
    ------
    LedgerError
        If the log does not hold.
    """
    lines = lines_of(path, key.public)
    return lines[-1].link if lines else BEFORE_FIRST


def lines_of(path: Path, public_key: bytes) -> list[Line]:
    """Every line that holds, oldest first; none where there is no log.

    Raises
    ------
    LedgerError
        If the log does not hold under that key.
    """
    return _lines(TrailFile(path), public_key) if path.exists() else []


def record(path: Path, key: SigningKey, now: datetime, values: Mapping[str, Any], after: Link | None = None) -> None:
    """Write one line; it is on the disk when this returns, and only then may anything leave.

    Parameters
    ----------
    after
        The line that must still be the last one, because what leaves says so; None where that does not matter.

    Raises
    ------
    LedgerError
        If the log does not hold, cannot be written, or has gone on after that line.
    """
    with _open(path) as file:
        lines = _lines(file, key.public)
        last = lines[-1].link if lines else BEFORE_FIRST
        if after is not None and after != last:
            raise LedgerError(f"log of links {path} was written meanwhile; run the command again.")
        _write(file, key, now, values, last)


def change_log_key(path: Path, old: SigningKey, new: SigningKey, now: datetime) -> None:
    """Write down, signed by the old key, that the new one signs the lines after; done already, it changes nothing.

    Raises
    ------
    LedgerError
        If the log does not hold, or cannot be written.
    """
    if not path.exists():
        return
    with _open(path) as file:
        lines = _lines(file, old.public)
        if lines and not names_next(lines[-1], new.public):
            _write(file, old, now, key_change(old.public, new, lines[-1].link), lines[-1].link)


@contextmanager
def _open(path: Path) -> Iterator[TrailFile]:
    """The log, with nobody else who writes it and without a line that a crash tore: what it was to allow never left."""
    made = TrailFile(path)
    with made.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file = TrailFile(path)
        file.cut_torn()
        yield file


def _lines(file: TrailFile, public_key: bytes) -> list[Line]:
    try:
        data = file.read()
        lines = list(read_lines(data[: data.rfind(b"\n") + 1], str(file.path)))
        require_signed_in_turn(lines, public_key, str(file.path))
    except LedgerError as error:
        raise damaged(error) from error
    return lines


def _write(file: TrailFile, key: SigningKey, now: datetime, values: Mapping[str, Any], last: Link) -> None:
    entry = {"at": now.isoformat(), "public_key": key.public.hex(), **values, "ledger": {"new": []}}
    try:
        file.append(write_line(key, entry, last)[0])
    except OSError as error:
        raise LedgerError(
            f"log of links {file.path} cannot be written ({error.strerror}); nothing is offered."
        ) from error
