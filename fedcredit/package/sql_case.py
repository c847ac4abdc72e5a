"""The model as one ANSI SQL query: a CASE per feature, added up to margin, points and probability.

Columns hold raw values in the dictionary's units, or in the institution's own where a mapping says how they translate.
Every identifier is quoted and every text is escaped; numbers are written so that float64 reads them back exactly.
"""

from collections.abc import Sequence

from fedcredit.data.sql import quoted
from fedcredit.dictionary.mapping import ColumnMapping, Mapping, identity_mapping, mapping_problems
from fedcredit.dictionary.problems import listed
from fedcredit.errors import DictionaryError
from fedcredit.package.bin_rules import CodeRule, FeatureRules, NumberRule, rules_of
from fedcredit.package.contents import ModelPackage

_LARGEST = "1.7976931348623157E308"
_UNITS = "1.024E3"


def sql_query(package: ModelPackage, view: str, table: str, mapping: Mapping | None = None) -> str:
    """Write the query.

    Parameters
    ----------
    view
        Institution type whose customers the rows are.
    table
        Name of the table, unquoted.
    mapping
        The institution's columns; None for those called as the features. Its id column, if it has one, comes first.

    Returns
    -------
    str
        ``SELECT`` of the id, ``points``, ``pd`` and one ``points_FEATURE`` each. It runs as it is in DuckDB, SQLite
        (with its mathematical functions) and PostgreSQL.

    Raises
    ------
    DictionaryError
        If the mapping does not fit, or translates codes into numbers, which this export does not do.
    """
    card, rules = rules_of(package, view)
    chosen = mapping or identity_mapping(package.dictionary, view)
    _require_simple(chosen, package, view)
    inner = [f"{quoted(chosen.id_column)}"] if mapping is not None and chosen.id_column else []
    names = [(quoted(f"points_{one.feature.name}"), quoted(f"weight_{one.feature.name}")) for one in rules]
    for one, (points, weight) in zip(rules, names, strict=True):
        entry = chosen.features[one.feature.name]
        inner += [f"{_case(one, entry, 'points')} AS {points}", f"{_case(one, entry, 'weight')} AS {weight}"]
    total = " + ".join([str(card.base_points), *(points for points, _ in names)])
    margin = " + ".join([str(card.base_weight), *(weight for _, weight in names)])
    head = [quoted(chosen.id_column)] if mapping is not None and chosen.id_column else []
    outer = [
        *head,
        f"{total} AS {quoted('points')}",
        f"1.0E0 / (1.0E0 + EXP(-({margin}) / {_UNITS})) AS {quoted('pd')}",
        *(points for points, _ in names),
    ]
    return (
        f"-- model package {package.digest}, dictionary {package.head.dictionary}\n"
        f"SELECT\n  {_lines(outer)}\nFROM (\nSELECT\n  {_lines(inner)}\nFROM {quoted(table)}\n) AS {quoted('scored')}\n"
    )


def _lines(items: Sequence[str]) -> str:
    return ",\n  ".join(items)


def _require_simple(mapping: Mapping, package: ModelPackage, view: str) -> None:
    problems = mapping_problems(mapping, package.dictionary, view)
    problems += [
        f"{name}: its codes are translated, which this export does not do; make a view with the dictionary's codes"
        for name, entry in mapping.features.items()
        if entry.codes
    ]
    if problems:
        raise DictionaryError(listed("the column mapping", problems))


def _case(rules: FeatureRules, entry: ColumnMapping, what: str) -> str:
    missing = rules.missing[what == "points"]
    column = quoted(entry.column)
    if rules.codes:
        return _code_case(rules.codes, column, what, missing)
    # NULL, NaN and infinity are missing: no comparison with them holds, or they are beyond the largest number.
    ends = [f"WHEN {column} IS NULL THEN {missing}"]
    ends += [f"WHEN {column} = {code} THEN {missing}" for code in _number_codes(rules)]
    value = column if entry.scale == 1.0 else f"{column} * {_number(entry.scale)}"
    ends += [f"WHEN NOT ({value} BETWEEN -{_LARGEST} AND {_LARGEST}) THEN {missing}"]
    ends += [_number_line(rule, value, getattr(rule, what)) for rule in rules.numbers]
    return f"CASE {' '.join(ends)} END"


def _number_line(rule: NumberRule, value: str, gives: int) -> str:
    if rule.end is None:
        return f"ELSE {gives}"
    return f"WHEN {value} {'<=' if rule.inclusive else '<'} {_number(rule.end)} THEN {gives}"


def _code_case(codes: Sequence[CodeRule], column: str, what: str, missing: int) -> str:
    text = f"TRIM(CAST({column} AS VARCHAR(200)))"
    lines = " ".join(f"WHEN {_text(rule.code)} THEN {getattr(rule, what)}" for rule in codes)
    return f"CASE {text} {lines} ELSE {missing} END"


def _number_codes(rules: FeatureRules) -> list[str]:
    """Missing codes that a numeric column can hold."""
    numbers = []
    for code in rules.missing_codes:
        try:
            numbers.append(_number(float(code)))
        except ValueError:
            continue
    return numbers


def _number(value: float) -> str:
    """An approximate numeric literal (with an exponent, or some engines would read a decimal) of the same float64."""
    digits = repr(value)
    return digits.replace("e", "E") if "e" in digits else f"{digits}E0"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
