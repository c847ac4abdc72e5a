"""A trail as somebody else reads it: all its files, every hash and signature, and the lines about one job."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.audit.lines import GENESIS, Line, read_lines, require_signed_in_turn
from fedcredit.audit.trail_file import set_aside
from fedcredit.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a trail found.

    Attributes
    ----------
    lines
        Number of lines that hold.
    first, last
        Numbers of the first and last line; the first is 1 if every file is there.
    torn_bytes
        Length of a last line without its end, which a custodian that starts will cut off.
    """

    lines: int
    first: int
    last: int
    torn_bytes: int


def files_of(path: Path) -> list[Path]:
    """A trail's files, oldest first, or one file alone if it is one that was set aside.

    Raises
    ------
    LedgerError
        If there is none.
    """
    files = [*set_aside(path), *([path] if path.is_file() else [])]
    if not files:
        raise LedgerError(f"audit trail {path} does not exist; it begins when the custodian is first served.")
    return files


def lines_of(path: Path) -> Iterator[Line]:
    """Every whole line, oldest first, chained across files; signatures are left to the caller.

    Raises
    ------
    LedgerError
        At the first line that does not hold.
    """
    before: Line | None = None
    for file in files_of(path):
        for line in read_lines(_whole(file.read_bytes())[0], str(file)):
            expected = before.link.hash if before is not None else line.previous
            starts = before is not None or line.link.number > 1 or line.previous == GENESIS
            if line.previous != expected or not starts:
                raise LedgerError(f"audit trail {file} does not go on where the file before it ends.")
            yield line
            before = line


def check(path: Path, public_key: bytes) -> Checked:
    """Check every line of a trail.

    Raises
    ------
    LedgerError
        At the first line that does not hold, or is signed by another key.
    """
    lines = list(lines_of(path))
    if not lines:
        raise LedgerError(f"audit trail {path} holds no line.")
    require_signed_in_turn(lines, public_key, str(path))
    torn = len(_whole(files_of(path)[-1].read_bytes())[1])
    return Checked(len(lines), lines[0].link.number, lines[-1].link.number, torn)


def named_key(path: Path) -> bytes:
    """The identity key that the first start of a trail names; 32 bytes.

    Raises
    ------
    LedgerError
        If no line names one.
    """
    for line in lines_of(path):
        if "public_key" in line.values:
            return bytes.fromhex(line.values["public_key"])
    raise LedgerError(f"audit trail {path} names no key; give --key, the institution's public key from the roster.")


def concerns(line: Line, plan_hash: str) -> bool:
    """Whether a line is about a job whose plan hash begins so."""
    return any(str(values.get("plan_hash", "")).startswith(plan_hash) for values in (line.values, *charged(line)))


def charged(line: Line) -> list[dict[str, Any]]:
    """The ledger events that a line names."""
    new: list[dict[str, Any]] = line.values["ledger"]["new"]
    return new


def _whole(data: bytes) -> tuple[bytes, bytes]:
    """The whole lines, and what follows the last of them."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]
