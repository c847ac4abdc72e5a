"""The trail's file: append-only, readable by its owner only, fsynced line by line, set aside when it is long.

A crash in the middle of a write leaves a line without its end, whose reply has not left. At the next start that tail is
cut off, kept beside the file, and said. Nothing else is repaired: a file that does not hold stops the custodian.
A full file is renamed to ``.1``, ``.2``, …; the next one goes on with the same chain.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger_counter import sync_folder

LONGEST_BYTES = 2**20
_REMEDY = "compare it with a copy, keep it for whoever looks into it, and move it away to begin a new one"


def trail_of(ledger: Path) -> Path:
    """The trail that belongs to a ledger."""
    return ledger.with_name(ledger.name + ".audit.jsonl")


def set_aside(path: Path) -> list[Path]:
    """Earlier files of a trail, oldest first."""
    numbered = [
        (int(file.suffix[1:]), file) for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit()
    ]
    return [file for _, file in sorted(numbered)]


class TrailFile:
    """An open trail file with one writer.

    Parameters
    ----------
    path
        The newest file of the trail; made if it does not exist.

    Raises
    ------
    LedgerError
        If it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise LedgerError(f"audit trail {path} is no file; move it away.")
        try:
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                sync_folder(path.parent)
            self._size = path.stat().st_size
        except OSError as error:
            raise self._unusable(error) from error

    @property
    def full(self) -> bool:
        """Whether the next line belongs in a file of its own."""
        return self._size >= LONGEST_BYTES

    def read(self) -> bytes:
        """Everything that was written."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self._unusable(error) from error

    def cut_torn(self) -> int:
        """Move what follows the last whole line into ``.torn``; how many bytes that were."""
        data = self.read()
        whole = data.rfind(b"\n") + 1
        if whole == len(data):
            return 0
        try:
            _append(self.path.with_name(self.path.name + ".torn"), data[whole:] + b"\n")
            os.truncate(self.path, whole)
        except OSError as error:
            raise self._unusable(error) from error
        self._size = whole
        return len(data) - whole

    def append(self, line: bytes) -> None:
        """Write one line; it is on the disk when this returns, or nothing of it counts.

        Raises
        ------
        OSError
            If the disk does not take it, or somebody else writes the file.
        """
        if (self.path.stat().st_size if self.path.exists() else 0) != self._size:
            raise OSError(errno.EBUSY, "somebody else wrote to it")
        try:
            _append(self.path, line)
        except OSError:
            # What a full disk took of the line is taken back; if it cannot be, no line follows it.
            with suppress(OSError):
                os.truncate(self.path, self._size)
            raise
        self._size += len(line)

    def turn(self) -> None:
        """Set the full file aside; the next line begins an empty one, and names the last hash of this one."""
        numbers = [int(file.suffix[1:]) for file in set_aside(self.path)]
        kept = self.path.with_name(f"{self.path.name}.{max(numbers, default=0) + 1}")
        self.path.rename(kept)
        self._size = 0
        sync_folder(self.path.parent)

    def _unusable(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"audit trail {self.path} cannot be read or written ({error.strerror}); check the disk's space, owner and "
            "mode. Nothing is answered without it."
        )


def damaged(error: LedgerError) -> LedgerError:
    """The same error with what an operator can do about it."""
    return LedgerError(f"{error} The custodian does not start on it: {_REMEDY}.")


def _append(path: Path, data: bytes) -> None:
    new = not path.exists()
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        sync_folder(path.parent)
