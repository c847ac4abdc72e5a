"""What a check found, and where: the unit of the report."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended; `OPEN` where what it needs is not there."""

    OK = "ok"
    FAILED = "failed"
    OPEN = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    name
        What was checked.
    where
        Step, institution or file at which it failed; empty for the whole run.
    detail
        What was found, as a sentence.
    """

    name: str
    result: Result
    where: str
    detail: str


def passed(name: str, detail: str) -> Check:
    """A check that holds everywhere."""
    return Check(name, Result.OK, "", detail)


def failed(name: str, where: str, detail: str) -> Check:
    """A check that does not hold at one place."""
    return Check(name, Result.FAILED, where, detail)


def unchecked(name: str, where: str, detail: str) -> Check:
    """A check that cannot be made."""
    return Check(name, Result.OPEN, where, detail)


def all_or(found: Iterable[Check], name: str, detail: str) -> list[Check]:
    """The problems of one check, or one line that says that there are none."""
    problems = [one for one in found if one.name == name]
    fails = any(one.result is Result.FAILED for one in problems)
    return problems if fails else [passed(name, detail), *problems]
