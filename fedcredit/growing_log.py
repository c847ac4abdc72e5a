"""Puts the log of running processes aside when it is long, without losing what they write meanwhile.

A process keeps its log open, so renaming it would not end its growth, and what is written between copying and emptying
it would be lost. So all processes of the session that writes it are held for the milliseconds that this takes.
"""

import shutil
import signal
import time
from pathlib import Path

from fedcredit.process_id import ProcessId, session_members

LARGEST_LOG = 16 * 2**20
_HOLD_S = 0.3
_LOOK_S = 0.001


def older(log: Path) -> Path:
    """Where the part of a log lies that was put aside last."""
    return log.with_name(f"{log.name}.1")


def put_aside_if_long(log: Path, writer: int | None) -> None:
    """Move what a long log holds to `older`, in place of what was there; tried again later if that cannot be done now.

    Parameters
    ----------
    log
        Opened by its writers to append.
    writer
        Number of the process that founded the writers' session; None if nobody writes.
    """
    try:
        if log.stat().st_size > LARGEST_LOG:
            _put_aside(log, writer)
    except OSError:
        # No log yet, or no room for a copy: the log stays as it is.
        return


def _put_aside(log: Path, writer: int | None) -> None:
    held: list[ProcessId] = []
    partial = log.with_name(f"{log.name}.partial")
    try:
        if writer is None or _all_held(writer, held):
            shutil.copy(log, partial)
            partial.replace(older(log))
            with log.open("r+b") as file:
                file.truncate()
    finally:
        for one in held:
            one.send(signal.SIGCONT)
        partial.unlink(missing_ok=True)


def _all_held(writer: int, held: list[ProcessId]) -> bool:
    """Stop a session's processes, those too that they start meanwhile; whether none of them runs in the end."""
    deadline = time.monotonic() + _HOLD_S
    while time.monotonic() < deadline:
        new = [one for one in session_members(writer) if one not in held]
        for one in new:
            held.append(one)
            one.send(signal.SIGSTOP)
        if not new and all(one.stopped() for one in held):
            return True
        time.sleep(_LOOK_S)
    return False
