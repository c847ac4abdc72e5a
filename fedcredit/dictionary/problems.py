"""Plain sentences for what pydantic finds wrong in a file that a person wrote."""

from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

_ABRIDGED = Repr()
_ABRIDGED.maxstring = _ABRIDGED.maxother = 120

_PLAIN = {
    "missing": "is missing; add it",
    "extra_forbidden": "is not a known key; remove it or correct its spelling",
}


def validation_problems(fault: ValidationError, document: object) -> list[str]:
    """Turn each finding of pydantic into one sentence.

    Parameters
    ----------
    fault
        What pydantic raised.
    document
        The raw document, to name list items by their ``name`` instead of their number.

    Returns
    -------
    list of str
        ``place: what is wrong (got …)``, in the order found.
    """
    lines: list[str] = []
    errors = fault.errors(include_url=False)
    for found in errors:
        if found["type"] == "too_short" and any(_inside(other["loc"], found["loc"]) for other in errors):
            continue  # the list is short only because its faulty items were set aside
        place = _place(found["loc"], document)
        if found["type"] == "value_error":  # our own validators: already sentences, one a line
            lines += [f"{place}{line}" for line in str(found["ctx"]["error"]).splitlines()]
        elif found["input"] is None and found["type"] not in _PLAIN:
            lines.append(f"{place}is blank; fill it in")
        else:
            text = _PLAIN.get(found["type"]) or f"{found['msg']} (got {_short(found['input'])})"
            lines.append(f"{place}{text}")
    return lines


def listed(what: str, problems: Sequence[str]) -> str:
    """Return one message that names the document and lists every problem."""
    if len(problems) == 1:
        return f"{what}: {problems[0]}"
    return f"{what} has {len(problems)} problems:\n" + "\n".join(f"- {line}" for line in problems)


def _place(loc: Sequence[int | str], document: object) -> str:
    """Name the place by keys and by the names of list items, without pydantic's names of union branches."""
    words: list[str] = []
    here: Any = document
    for depth, step in enumerate(loc):
        if isinstance(here, Mapping) and step not in here and depth < len(loc) - 1:
            continue  # the branch of a union: not written in the document
        here = _inner(here, step)
        name = here.get("name") if isinstance(step, int) and isinstance(here, Mapping) else None
        words.append(str(name) if name else f"item {step + 1}" if isinstance(step, int) else step)
    return " · ".join(words) + ": " if words else ""


def _inside(loc: Sequence[int | str], outer: Sequence[int | str]) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _inner(here: object, step: int | str) -> object:
    if isinstance(here, Mapping):
        return here.get(step)
    if isinstance(here, Sequence) and isinstance(step, int) and step < len(here):
        return here[step]
    return None


def _short(value: object) -> str:
    # Not repr: a few lines of nested YAML aliases are one small object with a text longer than any memory.
    text = _ABRIDGED.repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
