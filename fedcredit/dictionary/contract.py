"""Checks across fields of a data dictionary, written to run on half-valid documents.

Pydantic stops before cross-field checks when any field is wrong; a person who fills in forty features wants
the whole list at once. Both functions therefore skip what they cannot read and report only what they can.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

BIAS_EXAMINATION = "bias-examination"
"""The one purpose of a group label, and of no feature."""
_LARGEST_INTEGER = 2.0**53
_SEPARATORS = re.compile(r"[\s_-]+")
_NUMERIC_GRIDS = ("signed_log", "linear", "integers", "edges")


def feature_problems(field: str, value: Any, before: Mapping[str, Any]) -> list[str]:  # noqa: ANN401
    """Check one field of a feature against the fields read before it.

    Parameters
    ----------
    field
        ``range``, ``grid``, ``atoms`` or ``monotone``.
    value
        Its value.
    before
        The valid fields declared above it; an invalid one is absent.

    Returns
    -------
    list of str
        Sentences; empty if nothing is wrong.
    """
    kind = before.get("type")
    if kind is None:
        return []
    match field:
        case "range":
            return _range_problems(value, kind)
        case "grid":
            return _grid_problems(value, kind, before.get("range"))
        case "atoms":
            return _atom_problems(value, kind, before.get("range"), before.get("grid"))
        case _:
            bad = kind == "category" and value != "none"
            return ["a category has no order, so monotone must be none"] if bad else []


def contract_problems(document: Mapping[str, Any]) -> list[str]:
    """Check names, blocks and owners across a whole dictionary, raw or dumped.

    Returns
    -------
    list of str
        Sentences; empty if nothing is wrong.
    """
    blocks = [b for b in _items(document.get("blocks")) if isinstance(b, str)]
    features = [f for f in _items(document.get("features")) if isinstance(f, Mapping)]
    types = document.get("institution_types")
    owns = {kind: _items(entry.get("owns")) for kind, entry in _mappings(types)}
    names = [str(f["name"]) for f in features if f.get("name")]
    used = {f.get("block") for f in features}
    owned = {block for listed in owns.values() for block in listed}
    out = [f"the block {b!r} is listed twice; list it once" for b in _twice(blocks)]
    out += [f"two features are called {name!r}; rename one" for name in _twice(names)]
    out += [
        f"{f.get('name')}: its purpose is the examination of bias, and a feature is scored; declare it under groups"
        for f in features
        if _is_bias_examination(f.get("purpose"))
    ]
    out += [
        f"{f.get('name')}: the block {f['block']!r} is not among blocks: {', '.join(blocks)}"
        for f in features
        if f.get("block") and f["block"] not in blocks
    ]
    out += [
        f"{kind}: owns the unknown block {b!r}; blocks are: {', '.join(blocks)}"
        for kind, listed in owns.items()
        for b in listed
        if b not in blocks
    ]
    out += [
        f"{kind}: owns the block {b!r} twice; list it once" for kind, listed in owns.items() for b in _twice(listed)
    ]
    out += [
        f"{kind}: thin_when_missing names {name!r}, which it does not own; name features of its own blocks"
        for kind, entry in _mappings(types)
        for name in _items(entry.get("thin_when_missing"))
        if name not in {f.get("name") for f in features if f.get("block") in owns[kind]}
    ]
    out += [f"no feature is in the block {b!r}; remove the block" for b in blocks if features and b not in used]
    out += [f"no institution type owns the block {b!r}; give it an owner" for b in blocks if owns and b not in owned]
    return out + _group_problems(_items(document.get("groups")), names, list(owns))


def _group_problems(groups: list[Any], features: list[str], kinds: list[str]) -> list[str]:
    """A group is no feature, no grouping of the protocol's own, and held by types that there are."""
    out = [f"two groups are called {name!r}; rename one" for name in _twice(_names(groups))]
    for group in (g for g in groups if isinstance(g, Mapping)):
        name, owners = group.get("name"), _items(group.get("owners"))
        if name in features:
            out.append(f"{name} is both a feature and a group; a label for the examination of bias is no feature")
        if name == "type":
            out.append("no group can be called 'type', which is the institution type; rename it")
        out += [
            f"{name}: the owner {kind!r} is no institution type; types are: {', '.join(kinds)}"
            for kind in owners
            if kinds and kind not in kinds
        ]
        out += [f"{name}: the owner {kind!r} is listed twice; list it once" for kind in _twice(owners)]
        missing = [code for code in _items(group.get("missing_codes")) if code in (group.get("codes") or ())]
        out += [f"{name}: the code {code!r} is both a label and a missing code; keep one" for code in missing]
    return out


def _is_bias_examination(purpose: object) -> bool:
    return isinstance(purpose, str) and _SEPARATORS.sub("-", purpose.strip().casefold()) == BIAS_EXAMINATION


def _names(entries: list[Any]) -> list[str]:
    return [str(entry["name"]) for entry in entries if isinstance(entry, Mapping) and entry.get("name")]


def _range_problems(value: tuple[float, float] | None, kind: str) -> list[str]:
    if kind == "category":
        return ["a category has no range; remove it"] if value is not None else []
    if value is None:
        return ["is blank; write the lowest and highest allowed value, from public knowledge, as [low, high]"]
    low, high = value
    if low >= high:
        return [f"the lowest value {low:g} is not below the highest {high:g}; swap or correct them"]
    if kind == "integer" and (not low.is_integer() or not high.is_integer() or max(-low, high) > _LARGEST_INTEGER):
        return [f"an integer feature needs whole-number limits up to 2^53, got [{low:g}, {high:g}]"]
    return []


def _grid_problems(grid: Any, kind: str, limits: tuple[float, float] | None) -> list[str]:  # noqa: ANN401
    if (grid.kind == "categories") != (kind == "category"):
        fitting = "categories" if kind == "category" else ", ".join(_NUMERIC_GRIDS)
        return [f"a {kind} feature cannot have a grid of kind {grid.kind}; use: {fitting}"]
    if limits is None:
        return []
    low, high = limits
    if grid.kind == "integers":
        return _integers_problems(kind, high - low)
    if grid.kind == "edges":
        edges = grid.edges
        outside = [f"the edge {e:g} is outside ({low:g}, {high:g}]; remove it" for e in edges if not low < e <= high]
        rising = all(a < b for a, b in pairwise(edges))
        return outside + ([] if rising else ["edges must increase strictly; sort them and drop repeats"])
    return []


def _integers_problems(kind: str, width: float) -> list[str]:
    if kind != "integer":
        return ["a grid of kind integers needs a feature of type integer"]
    if width > 4094:
        return [f"{width + 1:.0f} integers are more than 4095 cells; use a grid of kind linear or signed_log"]
    return []


def _atom_problems(
    atoms: Sequence[float],
    kind: str,
    limits: tuple[float, float] | None,
    grid: Any,  # noqa: ANN401
) -> list[str]:
    if not atoms:
        return []
    if kind == "category" or (grid is not None and grid.kind == "integers"):
        return ["every value already has a cell of its own here; remove the atoms"]
    out = [f"the atom {a:g} is listed twice; list it once" for a in _twice(atoms)]
    if kind == "integer":
        out += [f"the atom {a:g} is not a whole number" for a in atoms if not a.is_integer()]
    if limits is not None:
        low, high = limits
        out += [f"the atom {a:g} is outside the range [{low:g}, {high:g}]" for a in atoms if not low <= a <= high]
    return out


def _mappings(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    entries = value.items() if isinstance(value, Mapping) else ()
    return [(str(name), entry) for name, entry in entries if isinstance(entry, Mapping)]


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []


def _twice(values: Sequence[Any]) -> list[Any]:
    """Return what stands more than once; unhashable items are some other check's business."""
    counts = Counter(v for v in values if isinstance(v, (str, float, int)))
    return [value for value, n in counts.items() if n > 1]
