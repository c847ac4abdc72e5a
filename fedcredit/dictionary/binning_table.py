"""From a binning table of optbinning to the grid of a dictionary feature.

Read are CSV and JSON files of `BinningTable.build()` or `Scorecard.table()`: a column ``Bin``, and ``Variable`` where
there are several variables. Counts and rates are not read. A table prints its edges rounded to ``show_digits``
places, two unless told otherwise: what is read is what is printed.
"""

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError

_SKIPPED = {"", "special", "missing", "totals"}
_NUMBER = r"[+-]?(?:inf|[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)"
_SPAN = re.compile(rf"[\[(]\s*({_NUMBER})\s*,\s*({_NUMBER})\s*[)\]]")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_LONGEST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class VariableBins:
    """The bins of one variable: inner edges of a number, or the codes of a category.

    Attributes
    ----------
    edges
        Increasing; empty for a category.
    groups
        Codes that share a bin, in the table's order; empty for a number.
    """

    variable: str
    edges: tuple[float, ...]
    groups: tuple[tuple[str, ...], ...]


def load_binning_table(path: Path) -> tuple[VariableBins, ...]:
    """Read the bins of every variable.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no column ``Bin``, or a bin is neither an interval nor a list of codes.
    """
    by_variable: dict[str, list[str]] = {}
    for row in _rows(path):
        label = " ".join(str(row.get("Bin") if row.get("Bin") is not None else "").split())
        variable = str(row.get("Variable") or path.stem)
        if label.casefold() not in _SKIPPED and str(row.get("Bin id", "")).casefold() != "totals":
            by_variable.setdefault(variable, []).append(label)
    if not by_variable:
        raise ConfigError(f"{path} holds no bins; save a binning table, with its column Bin.")
    return tuple(_bins(path, name, labels) for name, labels in by_variable.items())


def grid_yaml(bins: VariableBins) -> str:
    """The lines for the dictionary's feature; whoever pastes them adds the declared range and the codes' meanings."""
    variable = " ".join(bins.variable.split())  # one line a comment, whatever it holds
    if bins.edges:
        edges = ", ".join(
            f"{edge:.0f}" if edge.is_integer() and abs(edge) < 1e15 else repr(edge) for edge in bins.edges
        )
        return f"# {bins.variable}\ngrid: {{kind: edges, edges: [{edges}]}}\n"
    codes = ", ".join(f"{_yaml(code)}: {_yaml(code)}" for group in bins.groups for code in group)
    together = " ".join(" | ".join(", ".join(group) for group in bins.groups).split())
    return f"# {variable}; together in the table: {together}\ngrid: {{kind: categories, codes: {{{codes}}}}}\n"


def _edge(edge: float) -> str:
    return f"{edge:.0f}" if edge.is_integer() and abs(edge) < 1e15 else repr(edge)


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path.") from None
    if len(content) > _LONGEST_BYTES:
        raise ConfigError(f"{path} is longer than {_LONGEST_BYTES} bytes, as no binning table is.")
    try:
        rows = _json_rows(content) if path.suffix.lower() == ".json" else _csv_rows(content)
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path} is no table of bins ({error}); save it as CSV or JSON in UTF-8.") from None
    if not rows or "Bin" not in rows[0]:
        raise ConfigError(f"{path} has no column Bin; save optbinning's binning table with its own column names.")
    return rows


def _csv_rows(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _json_rows(content: bytes) -> list[dict[str, Any]]:
    """Pandas' orientations ``records`` and ``columns``."""
    document = json.loads(content)
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        return document
    if isinstance(document, dict) and all(isinstance(column, dict) for column in document.values()):
        places = list(dict.fromkeys(place for column in document.values() for place in column))
        return [{name: column.get(place) for name, column in document.items()} for place in places]
    raise ValueError("neither a list of rows nor columns")


def _bins(path: Path, variable: str, labels: list[str]) -> VariableBins:
    spans = [_SPAN.fullmatch(label) for label in labels]
    if all(spans):
        ends = [(float(span[1]), float(span[2])) for span in spans if span]
        if any(high != low for (_, high), (low, _) in pairwise(ends)):
            raise ConfigError(f"{path}: the bins of {variable} do not join; save the whole table.")
        edges = tuple(high for _, high in ends[:-1])
        if not edges or not all(map(math.isfinite, edges)) or any(a >= b for a, b in pairwise(edges)):
            raise ConfigError(
                f"{path}: {variable} has no edges that increase, got {labels[:3]}; bin it with more digits."
            )
        return VariableBins(variable, edges, ())
    groups = tuple(_codes(label) for label in labels)
    if not all(groups):
        odd = labels[groups.index(())]
        raise ConfigError(f"{path}: the bin {odd!r:.60} of {variable} is neither an interval nor a list of codes.")
    codes = [code for group in groups for code in group]
    if len(set(codes)) < len(codes):
        raise ConfigError(f"{path}: {variable} has a code in two bins; save the table again.")
    return VariableBins(variable, (), groups)


def _codes(label: str) -> tuple[str, ...]:
    """Codes in numpy's or Python's spelling of a list: ``['A' 'B']``, ``['A', 'B']``, ``[1 2]``."""
    if not (label.startswith("[") and label.endswith("]")):
        return ()
    quoted = _QUOTED.findall(label)
    return tuple(a or b for a, b in quoted) if quoted else tuple(label[1:-1].replace(",", " ").split())
