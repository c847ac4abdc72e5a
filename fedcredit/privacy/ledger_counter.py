"""The institution's own counter: how many events its ledger has had, in a small file that a backup does not bring back.

It is raised after an event's fsync and before its bytes leave. So the ledger is ahead by at most the event of a crash,
which is repaired; a counter that is ahead of its ledger means that the ledger was rolled back. Kept on another disk, it
notices that this disk was restored. It cannot notice that both were: peers can (`fedcredit.custodian.witness`).
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from fedcredit.errors import LedgerError
from fedcredit.privacy.rollback import rolled_back


class EventCounter:
    """The counter's file.

    Parameters
    ----------
    path
        Where it is; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        # Through a link: replacing the link itself would move the counter off the disk that it was put on.
        self._path = path.resolve()
        self._known = 0

    def check(self, event_count: int) -> None:
        """Compare with a ledger that was just opened, and catch up with it.

        Raises
        ------
        LedgerError
            If the counter is missing, unreadable or ahead: the ledger may be an older copy.
        """
        counted = self.read()
        if counted is None:
            raise LedgerError(
                f"counter {self._path} of the ledger is missing; put it back, or if the ledger is a restored backup "
                "or a copy, run 'fedcredit ledger recover'."
            )
        if rolled_back(event_count, counted):
            raise LedgerError(
                f"the ledger is rolled back: it has {event_count} events and had {counted}; run 'fedcredit ledger "
                "recover' with the epsilon of what was lost."
            )
        self.raise_to(event_count)

    def raise_to(self, event_count: int) -> None:
        """Make a higher count durable; one that is known already costs nothing.

        Raises
        ------
        LedgerError
            If the file cannot be written, or another process has raised it further.
        """
        if event_count <= self._known:
            return
        if rolled_back(event_count, self.read() or 0):
            raise LedgerError(f"counter {self._path} was raised by a copy of this ledger; stop one of the two.")
        self._write(event_count)
        self._known = event_count

    def read(self) -> int | None:
        """The count, or None if there is no file.

        Raises
        ------
        LedgerError
            If the file cannot be read, or holds no count.
        """
        try:
            return self._number()
        except ValueError as error:
            raise LedgerError(
                f"counter {self._path} holds no number; restore it, or run 'fedcredit ledger recover'."
            ) from error

    def read_or_none(self) -> int | None:
        """The count, or None if there is no file or no number in it.

        Raises
        ------
        LedgerError
            If the file cannot be read: it may hold a count.
        """
        try:
            return self._number()
        except ValueError:
            return None

    def forget(self) -> None:
        """Remove the file, before a recovery writes it anew."""
        self._path.unlink(missing_ok=True)

    def _number(self) -> int | None:
        try:
            return int(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(
                f"counter {self._path} cannot be read ({error.strerror}); check its owner, mode and disk."
            ) from error

    def _write(self, event_count: int) -> None:
        """Replace the file whole: after a crash it holds the old count or the new one."""
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            try:
                data = b"%d\n" % event_count
                if os.write(descriptor, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise LedgerError(
                f"counter {self._path} cannot be written ({error.strerror}); check its folder and the space on its "
                "disk, then ask again."
            ) from error


def beside(ledger: Path) -> Path:
    """Where the counter is unless SITE.yaml says otherwise."""
    return ledger.with_name(ledger.name + ".count")


def require_fresh(counter: Path) -> None:
    """Check that a new ledger may begin to count there.

    Raises
    ------
    LedgerError
        If a ledger was counted there before, or the folder does not exist.
    """
    if counter.exists():
        raise LedgerError(f"counter {counter} exists already: a ledger was opened here before; restore that one.")
    if not counter.parent.is_dir():
        raise LedgerError(f"folder {counter.parent} of the ledger's counter does not exist; create it first.")


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
