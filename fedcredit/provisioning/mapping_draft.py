"""A first mapping.yaml from the dictionary alone: every feature from a column of its own name, with what it must hold.

No column and no value of the institution's is looked at.
"""

import json
from collections.abc import Iterator

from fedcredit.dictionary.schema import CategoriesGrid, DataDictionary, Feature

_WIDTH = 44
_HEAD = """\
# Column mapping: which own column is which feature of the dictionary. Drafted from the dictionary alone.
#
# Put your own columns' names where they differ. Per value, in this order: `codes` replaces it, missing codes are set
# aside, `scale` multiplies what is left; {column: bill_cents, scale: 0.01, codes: {n/a: null}} has all three.
# Put codes that YAML reads as something else (yes, no, on, off, 007) in quotes. `null` means missing.

features:
"""


def draft_mapping(dictionary: DataDictionary, kind: str) -> str:
    """Draft the mapping of an institution type.

    Raises
    ------
    DictionaryError
        If the dictionary has no such type.
    """
    own = dictionary.institution_type(kind)
    id_line = f"id_column: {_text(own.id_column)}" if own.id_column else "# id_column: id"
    lines = [
        *_features(dictionary, kind),
        *_groups(dictionary, kind),
        *_ending(own.target.name, own.target.definition),
        id_line,
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _features(dictionary: DataDictionary, kind: str) -> Iterator[str]:
    block = ""
    for feature in dictionary.owned_features(kind):
        if feature.block != block:
            block = feature.block
            yield f"  # {block}"
        yield f"{f'  {feature.name}: {{column: {_text(feature.name)}}}':<{_WIDTH}}  # {_meaning(feature)}"


def _groups(dictionary: DataDictionary, kind: str) -> Iterator[str]:
    """Commented out: a label is read only if the policy names it too."""
    owned = dictionary.owned_groups(kind)
    if owned:
        yield ""
        yield "# Labels for the examination of bias. To count one in evaluation, remove its # and the one before"
        yield "# groups, and name it under bias_examination in the policy; one that stays out is never read."
        yield "# groups:"
    for group in owned:
        meaning = _line(", ".join(f"{code} {meaning}" for code, meaning in group.codes.items()))
        yield f"{f'#   {group.name}: {{column: {_text(group.name)}}}':<{_WIDTH}}  # {meaning}"


def _meaning(feature: Feature) -> str:
    if isinstance(feature.grid, CategoriesGrid):
        return _line(", ".join(f"{code} {meaning}" for code, meaning in feature.grid.codes.items()))
    low, high = feature.range or (0.0, 0.0)
    scale = "" if feature.scale == 1.0 else f", in steps of {feature.scale:g}"
    missing = f", missing: {' '.join(feature.missing_codes)}" if feature.missing_codes else ""
    return _line(f"{feature.type}, {feature.unit or 'no unit'}{scale}, {low:.12g} to {high:.12g}{missing}")


def _ending(target: str, definition: str) -> list[str]:
    return [
        "",
        "# The outcome; a row whose label is in neither list takes no part. The dictionary says:",
        f"# {_line(definition)}",
        f"target: {{column: {_text(target)}, good: [0], bad: [1]}}",
        "",
        "# Decides by a keyed hash which rows train and which evaluate; under unit person, the person's id.",
    ]


def _text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)  # a JSON string is a YAML string


def _line(text: str) -> str:
    return " ".join(text.split())
