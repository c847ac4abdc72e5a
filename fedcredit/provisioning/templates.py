"""Commented YAML templates filled in by text, so that what the comments say stays with the values.

A place is named by its key, or by its parent's and its own (``data.path``). It must stand in the template exactly once;
one that is commented out is switched on. What comes out is read by the file's own reader afterwards.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from fedcredit.errors import ConfigError

_COMMENT = re.compile(r"\s+#.*$")


def read_template(path: Path) -> str:
    """Read a template of the node kit.

    Raises
    ------
    ConfigError
        If it is not there.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"template {path} cannot be read; give the folder of the node kit, the one that holds clients/, as --kit."
        ) from error


def filled(template: str, what: str, entries: Mapping[str, str]) -> str:
    """Put entries into a template.

    Parameters
    ----------
    what
        Name of the template, for messages.
    entries
        By place, the new ``key: value``.

    Raises
    ------
    ConfigError
        If a place is missing or stands twice: the template was changed.
    """
    lines = template.splitlines()
    for place, entry in entries.items():
        number = _line_of(lines, place, what)
        lines[number] = _replaced(lines[number], entry)
    return "\n".join(lines) + "\n"


def _line_of(lines: list[str], place: str, what: str) -> int:
    parent, _, key = place.rpartition(".")
    block = _block_of(lines, parent) if parent else range(len(lines))
    indent = r"[ ]+" if parent else ""
    active = [number for number in block if re.match(rf"{indent}{re.escape(key)}:(\s|$)", lines[number])]
    switched_off = [number for number in block if re.match(rf"{indent}# {re.escape(key)}:(\s|$)", lines[number])]
    found = active or switched_off
    if len(found) != 1:
        raise ConfigError(
            f"template {what} has {len(found)} lines for {place!r}, not one; take the unchanged template of the kit."
        )
    return found[0]


def _block_of(lines: list[str], parent: str) -> range:
    """The indented lines below a key."""
    for start, line in enumerate(lines):
        if re.match(rf"{re.escape(parent)}:\s*(#.*)?$", line):
            after = (number for number in range(start + 1, len(lines)) if re.match(r"\S", lines[number]))
            return range(start + 1, next(after, len(lines)))
    return range(0)


def _replaced(line: str, entry: str) -> str:
    """The line with another entry; its comment stays in its column where there is room."""
    indent = re.match(r" *", line)
    switched_off = re.match(r"( *)# (.*)", line)
    old = switched_off.group(1) + switched_off.group(2) if switched_off else line
    comment = _COMMENT.search(old)
    new = (indent.group(0) if indent else "") + entry
    if comment is None:
        return new
    text = comment.group(0).strip()
    return f"{new:<{line.rindex(text) - 2}}  {text}"
