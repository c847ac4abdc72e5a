"""First draft of a data dictionary from a table's column names and types.

Without leave to look at the data nothing but names and types is used: ranges, and whatever a name cannot
tell, stay blank and are marked REQUIRED, so that the draft does not load until a person has filled them in
from public knowledge. A draft from data is complete, but it says ``simulation_only: true``, because its
ranges and codes were read off the records.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import blank, numbers
from fedcredit.data.sources import Source
from fedcredit.errors import DataError

_TARGET_NAMES = ("default", "bad", "target", "label", "y", "default_payment_next_month", "defaulted")
_MOST_CODES = 50
_MOST_INTEGERS = 30


@dataclass(frozen=True, slots=True)
class Draft:
    """Text of a drafted dictionary, and of a mapping where column names had to change.

    Parameters
    ----------
    dictionary
        Commented YAML.
    mapping
        YAML, or None if every column already has its feature's name.
    """

    dictionary: str
    mapping: str | None


@dataclass(frozen=True, slots=True)
class _Guess:
    """What is known of one column; empty text means a blank for a person to fill in."""

    name: str
    type: str
    range: str
    grid: str
    atoms: str
    left_out: str = ""


def draft_dictionary(source: Source, what: str, *, from_data: bool = False) -> Draft:
    """Draft a dictionary with one institution type that owns every column.

    Parameters
    ----------
    source
        The table.
    what
        Its name, for the heading.
    from_data
        Read the table and fill in types, ranges and codes; the result is for simulation only.

    Returns
    -------
    Draft
    """
    types = source.column_types()
    names = _feature_names(list(types))
    target = next((column for column, name in names.items() if name in _TARGET_NAMES), None)
    id_column = next((c for c, name in names.items() if name == "id" or name.endswith("_id")), None)
    columns = [column for column in types if column not in (target, id_column)]
    table = source.read(columns) if from_data else None
    guesses = {c: _from_data(table, c, names[c]) if table else _from_type(types[c], names[c]) for c in columns}
    head = _head(what, names.get(target or "", ""), id_column, from_data=from_data)
    text = head + "".join(_entry(c, guess, filled=from_data) for c, guess in guesses.items())
    used = [column for column in columns if not guesses[column].left_out]
    return Draft(text, _mapping(used, names, target, id_column))


def _from_type(kind: str, name: str) -> _Guess:
    if re.match(r"u?int", kind):
        return _Guess(name, "integer", "", "{kind: linear, cells: 40}", "")
    if re.match(r"(float|double|halffloat|decimal|numeric)", kind):
        return _Guess(name, "number", "", "{kind: linear, cells: 40}", "")
    if kind == "bool":
        return _Guess(name, "category", "", '{kind: categories, codes: {"false": "no", "true": "yes"}}', "")
    if re.match(r"(date|time|list|struct|map|binary|duration)", kind):
        return _Guess(name, "", "", "", "", f"type {kind} cannot be a feature; derive a number or a code from it")
    return _Guess(name, "", "", "", "")  # text may hold numbers or codes: only a person can tell


def _from_data(table: pa.Table, column: str, name: str) -> _Guess:
    try:
        values = numbers(table, column)
        empty = blank(table, column)
    except DataError as fault:
        return _Guess(name, "", "", "", "", str(fault))
    known = values[np.isfinite(values)]
    if len(known) and len(known) >= 0.95 * int((~empty).sum()):
        return _number_guess(known, name)
    return _category_guess(table, column, name)


def _number_guess(known: NDArray[np.float64], name: str) -> _Guess:
    low, high = float(known.min()), float(known.max())
    if low == high:
        return _Guess(name, "", "", "", "", "it holds one value only")
    whole = bool((known == np.floor(known)).all()) and max(-low, high) < 2**53
    if whole and high - low < _MOST_INTEGERS:
        return _Guess(name, "integer", f"[{low:.0f}, {high:.0f}]", "{kind: integers}", "")
    zeros = float((known == 0).mean())
    atoms = "[0]" if zeros > 0.01 else ""
    unit = max(_outward(float(np.median(np.abs(known[known != 0]))), up=True) / 10, 1.0 if whole else 1e-6)
    lowest, highest = _outward(low, up=False), _outward(high, up=True)
    kind = "integer" if whole else "number"
    grid = f"{{kind: signed_log, cells: 40, unit: {unit:g}}}"
    return _Guess(name, kind, f"[{lowest:.12g}, {highest:.12g}]", grid, atoms)


def _category_guess(table: pa.Table, column: str, name: str) -> _Guess:
    found = {str(value).strip() for value in table.column(column).unique().to_pylist() if value is not None}
    codes = sorted(found - {""})
    if not codes or len(codes) > _MOST_CODES:
        return _Guess(name, "", "", "", "", f"it holds {len(codes)} different texts; group them into codes first")
    listed = ", ".join(f"{_quoted(code)}: {_quoted(code)}" for code in codes)
    return _Guess(name, "category", "", f"{{kind: categories, codes: {{{listed}}}}}", "")


def _outward(value: float, *, up: bool) -> float:
    """Round away from the data to two significant digits."""
    if value == 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    return float((np.ceil(value / step) if up else np.floor(value / step)) * step)


def _head(what: str, target: str, id_column: str | None, *, from_data: bool) -> str:
    how = "names, types and VALUES: for simulation only" if from_data else "names and types only; no value was read"
    filled = {
        "title": _quoted(f"draft of {what}"),
        "source": _quoted(what),
        "licence": "not stated",
        "definition": "bad as the table has it",
    }
    text = {key: value if from_data else _blank(key) for key, value in filled.items()}
    lines = [
        f"# Data dictionary drafted from {_comment(what)} by column {how}.",
        "# Lines marked REQUIRED must be filled in before the file loads. Ranges come from public knowledge",
        "# (the product's terms, law, common sense), never from the records: they are sent to everyone.",
        "schema_version: 1",
        "name: draft",
        f"title: {text['title']}",
        f"source: {text['source']}",
        f"licence: {text['licence']}",
        "currency:  # three letters, e.g. EUR",
        f"simulation_only: {'true  # ranges were read off the data' if from_data else 'false'}",
        "blocks: [applicant]  # split the features into blocks by who holds them",
        "institution_types:",
        "  bank:",
        "    owns: [applicant]",
        "    target:",
        f"      name: {target or (_blank('target') if not from_data else 'label')}",
        f"      definition: {text['definition']}",
        "      window_months:  # months in which the outcome is observed",
        f"    id_column: {_quoted(id_column) if id_column else ' # the column with the id'}",
        "",
        "features:",
        "",
    ]
    return "\n".join(lines)


def _blank(key: str) -> str:
    asks = {
        "target": "the column with 0 = good and 1 = bad",
        "title": "what the table is",
        "source": "where it comes from",
        "licence": "licence or legal basis of the whole table",
        "definition": 'what counts as bad, e.g. "90 days past due within 12 months"',
    }
    return f" # REQUIRED: {asks[key]}"


def _entry(column: str, guess: _Guess, *, filled: bool) -> str:
    if guess.left_out:
        return f"  # left out: {_comment(column)}: {guess.left_out}\n"
    kind = guess.type or "  # REQUIRED: number, integer or category"
    category = guess.type == "category"
    lines = [f"  - name: {guess.name}", "    block: applicant", f"    type: {kind}"]
    if not category:
        lines.append("    unit: ''  # e.g. EUR, months")
        lines.append(f"    range: {guess.range or '  # REQUIRED: [lowest, highest]; leave out for a category'}")
    asked = "  # REQUIRED: {kind: linear, cells: 40} or {kind: categories, codes: {code: meaning}}"
    lines.append(f"    grid: {guess.grid or asked}")
    lines += [f"    atoms: {guess.atoms}"] if guess.atoms else []
    lines += [] if category else ["    monotone: none  # increasing: a higher value means more bad"]
    for key, ask in {
        "data_class": "public, private, sensitive or sensitive-health",
        "purpose": "why the score needs it",
        "basis": "legal basis or licence",
        "reason": "reason-code text for an applicant",
    }.items():
        value = {"data_class": "private", "reason": _quoted(column)}.get(key, "simulation")
        lines.append(f"    {key}: {value if filled else f' # REQUIRED: {ask}'}")
    return "\n".join(lines) + "\n"


def _mapping(columns: Sequence[str], names: dict[str, str], target: str | None, id_column: str | None) -> str | None:
    read = [*columns, *([target] if target else [])]
    if all(names[column] == column for column in read):
        return None
    lines = ["# Column mapping drafted together with the dictionary.", "features:"]
    lines += [f"  {names[column]}: {{column: {_quoted(column)}}}" for column in columns]
    lines.append(f"target: {{column: {_quoted(target) if target else ''}, good: [0], bad: [1]}}")
    lines += [f"id_column: {_quoted(id_column)}"] if id_column else []
    return "\n".join(lines) + "\n"


def _feature_names(columns: Sequence[str]) -> dict[str, str]:
    """Turn column names into feature names, each once."""
    names: dict[str, str] = {}
    for column in columns:
        base = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
        base = (base if base[:1].isalpha() else f"c_{base}")[:56]
        name, n = base, 2
        while name in names.values():
            name, n = f"{base}_{n}", n + 1
        names[column] = name
    return names


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML string


def _comment(text: str) -> str:
    return " ".join(text.split())
