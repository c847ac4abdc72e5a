"""Everything that an institution can find out about its site before it joins: one row a check, each with a remedy.

Nothing is changed, and nothing but an HTTPS request for ``/health`` is sent. Rows hold values of configuration and
counts of the table, never a record's value and no secret: they are for the institution's own console.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fedcredit.errors import FedcreditError


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    """One check.

    Attributes
    ----------
    text
        What was found; where it failed, what was wrong and the remedy.
    """

    check: str
    verdict: Verdict
    text: str


def checked(check: str, look: Callable[[], str]) -> Row:
    """The row of a check that says what it found, or raises what is wrong."""
    try:
        return Row(check, Verdict.OK, look())
    except FedcreditError as error:
        return Row(check, Verdict.FAILED, str(error))
    except PermissionError as error:
        return skipped(check, f"{error.filename} is closed to this account; check as the one it belongs to.")
    except OSError as error:
        place = error.filename or "the connection"
        return Row(
            check, Verdict.FAILED, f"{place} failed ({error.strerror or error}); put that right, and check again."
        )


def judged(check: str, problems: Sequence[str], found: str) -> Row:
    """The row of a check that lists all its problems."""
    return Row(check, Verdict.FAILED, "\n".join(problems)) if problems else Row(check, Verdict.OK, found)


def skipped(check: str, why: str) -> Row:
    """The row of a check that could not be made, or was not asked for."""
    return Row(check, Verdict.SKIPPED, why)


def existing_folder(path: Path) -> Path:
    """The nearest folder above a path, or the path itself, that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
