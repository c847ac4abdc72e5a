"""How an institution's own columns become the dictionary's features: by declaration only, no user code.

Order, per value: the declared codes are replaced, missing codes are set aside, and what is left of a number
is multiplied by ``scale``. Codes are never scaled. A text column is read as numbers where its feature is one;
what cannot be read is missing.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.schema import Code, DataDictionary, Feature, Group, Strict
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import DictionaryError

Column = Annotated[str, Field(min_length=1)]
Codes = Annotated[tuple[Code, ...], Field(min_length=1)]


class ColumnMapping(Strict):
    """Where one feature comes from."""

    column: Column
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor from the column's unit to the dictionary's; 0.01 turns cents into whole units."""
    codes: dict[Code, Code | None] = Field(default_factory=dict)
    """Own code → the dictionary's code or number; null means missing."""


class GroupMapping(Strict):
    """Where one group label comes from."""

    column: Column
    codes: dict[Code, Code | None] = Field(default_factory=dict)
    """Own code → the dictionary's code; null means missing."""


class TargetMapping(Strict):
    """Where the outcome comes from. A row whose label is in neither list takes no part."""

    column: Column
    good: Codes = ("0",)
    bad: Codes = ("1",)


class SplitMapping(Strict):
    """A column that says which role a row plays; only for data that is declared public."""

    column: Column
    train: Codes
    evaluate: Codes


class Mapping(Strict):
    """Declaration of all columns that an institution reads."""

    features: dict[str, ColumnMapping]
    groups: dict[str, GroupMapping] = Field(default_factory=dict)
    """Group labels that the institution counts in evaluation; one that is left out is never read."""
    target: TargetMapping
    id_column: Column | None = None
    """Column with the person's id (unit person) or the row's (unit record); roles are drawn from it."""
    split: SplitMapping | None = None
    consent: Column | None = None
    """Column with the token of consent to linking, where it is not called as the dictionary says."""

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        pairs = [("target", "good", self.target.good, "bad", self.target.bad)]
        if self.split is not None:
            pairs.append(("split", "train", self.split.train, "evaluate", self.split.evaluate))
        shared = [
            f"{what}: the code {code!r} is under both {a} and {b}; keep it in one"
            for what, a, first, b, second in pairs
            for code in first
            if code in second
        ]
        if shared:
            raise ValueError("\n".join(shared))
        return self

    @model_validator(mode="after")
    def _groups_apart(self) -> Self:
        others = {entry.column: f"the feature {name}" for name, entry in self.features.items()}
        others |= {self.target.column: "the target", self.id_column or "": "the id", self.consent or "": "the consent"}
        if self.split is not None:
            # Or the label would say who is trained on.
            others[self.split.column] = "the split"
        shared = [
            f"{name}: the column {entry.column!r} is {others[entry.column]} as well; a group label is nothing else"
            for name, entry in self.groups.items()
            if entry.column in others
        ]
        if shared:
            raise ValueError("\n".join(shared))
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once: features in order, then target, id, split and groups."""
        names = [entry.column for entry in self.features.values()] + [self.target.column]
        names += [self.id_column] if self.id_column else []
        names += [self.split.column] if self.split else []
        names += [entry.column for entry in self.groups.values()]
        return tuple(dict.fromkeys(names))


def identity_mapping(dictionary: DataDictionary, kind: str) -> Mapping:
    """Build the mapping of a table whose columns are called as the dictionary's features and groups.

    Parameters
    ----------
    dictionary, kind
        The target's name and the id column are those of this institution type; labels are 0 (good) and 1
        (bad).
    """
    entry = dictionary.institution_type(kind)
    return Mapping(
        features={feature.name: ColumnMapping(column=feature.name) for feature in dictionary.owned_features(kind)},
        groups={group.name: GroupMapping(column=group.name) for group in dictionary.owned_groups(kind)},
        target=TargetMapping(column=entry.target.name),
        id_column=entry.id_column,
    )


def mapping_problems(mapping: Mapping, dictionary: DataDictionary, kind: str) -> list[str]:
    """Check that a mapping serves exactly the features that an institution type owns, and no group that it does not.

    Returns
    -------
    list of str
        Sentences; empty if nothing is wrong.
    """
    owned = {feature.name: feature for feature in dictionary.owned_features(kind)}
    out = [f"{name}: no column is mapped to it; add it" for name in owned if name not in mapping.features]
    out += [
        f"{name}: a {kind} does not own this feature in dictionary {dictionary.name!r}; remove it"
        for name in mapping.features
        if name not in owned
    ]
    for name, entry in mapping.features.items():
        if name in owned:
            out += [f"{name}: {line}" for line in _entry_problems(entry, owned[name])]
    groups = {group.name: group for group in dictionary.owned_groups(kind)}
    for name, labels in mapping.groups.items():
        if name in groups:
            out += [f"{name}: {line}" for line in _label_problems(labels, groups[name])]
        else:
            out.append(f"{name}: a {kind} holds no such group in dictionary {dictionary.name!r}; remove it")
    return out


def parse_mapping(text: bytes, what: str = "column mapping") -> Mapping:
    """Read a column mapping from YAML.

    Raises
    ------
    DictionaryError
        With every problem found, one line each.
    """
    document: dict[str, Any] = parse_yaml(text, what, DictionaryError)
    try:
        return Mapping.model_validate(document)
    except ValidationError as fault:
        raise DictionaryError(listed(what, validation_problems(fault, document))) from None


def load_mapping(path: str | Path) -> Mapping:
    """Read a column mapping file; see `parse_mapping`."""
    try:
        text = Path(path).read_bytes()
    except OSError as fault:
        raise DictionaryError(f"cannot read the mapping {path}: {fault.strerror}; check the path") from None
    return parse_mapping(text, str(path))


def _entry_problems(entry: ColumnMapping, feature: Feature) -> list[str]:
    targets = [code for code in entry.codes.values() if code is not None]
    if feature.type == "category":
        known = {*feature.codes, *feature.missing_codes}
        out = ["a category has no scale; remove it"] if entry.scale != 1.0 else []
        unknown = [code for code in targets if code not in known]
        return out + [f"the dictionary has no code {code!r}; use one of {sorted(known)}" for code in unknown]
    return [f"the code {c!r} must become a number or null" for c in targets if not _is_number(c)]


def _label_problems(entry: GroupMapping, group: Group) -> list[str]:
    known = {*group.codes, *group.missing_codes}
    unknown = [code for code in entry.codes.values() if code is not None and code not in known]
    return [f"the dictionary has no code {code!r}; use one of {sorted(known)}" for code in unknown]


def _is_number(code: str) -> bool:
    try:
        return float(code) not in (float("inf"), float("-inf"))
    except ValueError:
        return False
