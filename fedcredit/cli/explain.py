"""``fedcredit explain``: the score of each row of a table, and the reasons against the customer in words.

For an institution's own console. It reads the released model and the institution's own rows, needs no outcome, and
prints scores and reasons, no other value of a record.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedcredit.data.quantise import feature_column
from fedcredit.data.sources import Source, open_source, spec_of
from fedcredit.dictionary.mapping import Mapping, identity_mapping, load_mapping, mapping_problems
from fedcredit.dictionary.problems import listed
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import DictionaryError
from fedcredit.models.contributions import Contributions, Reason, top_reasons
from fedcredit.models.contributions import explain as take_apart
from fedcredit.models.released_file import load_released

MOST_REASONS = 4


def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The released model (JSON).")],
    dictionary: Annotated[Path, typer.Argument(metavar="DICT", help="The data dictionary of its plan (YAML).")],
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A .csv or .parquet file, or a database URI#table.")],
    *,
    view: Annotated[str, typer.Option(help="Institution type whose customers the rows are.")],
    mapping: Annotated[Path | None, typer.Option(help="Column mapping (YAML); default: same names.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Explain the first so many rows.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score rows of a table and say what counts against each customer; no outcome column is needed."""
    contract, released = load_dictionary(dictionary), load_released(model)
    columns = load_mapping(mapping) if mapping else identity_mapping(contract, view)
    cells = _cells(contract, view, columns, open_source(spec_of(table)))[:rows]
    found = take_apart(released, contract, view, cells)
    reasons = top_reasons(contract, found, MOST_REASONS)
    if as_json:
        typer.echo(json.dumps(_as_json(found, reasons), indent=2, ensure_ascii=False))
    else:
        _print(found, reasons)


def _cells(dictionary: DataDictionary, view: str, mapping: Mapping, source: Source) -> NDArray[np.uint16]:
    """Grid cells of the view's features; shape (n, J). A target or id column is not looked for."""
    problems = mapping_problems(mapping, dictionary, view)
    if problems:
        raise DictionaryError(listed("the column mapping", problems))
    features = dictionary.owned_features(view)
    table = source.read(list(dict.fromkeys(mapping.features[feature.name].column for feature in features)))
    return np.column_stack([feature_column(feature, mapping.features[feature.name], table) for feature in features])


def _as_json(found: Contributions, reasons: tuple[tuple[Reason, ...], ...]) -> dict[str, Any]:
    rows = [
        {
            "row": number,
            "score": score,
            "reasons": [
                {"feature": one.feature, "text": one.text, "contribution": one.contribution} for one in reasons_of_row
            ],
        }
        for number, (score, reasons_of_row) in enumerate(zip(found.scores.tolist(), reasons, strict=True), start=1)
    ]
    return {"unit": "log-odds of bad", "base": found.base, "rows": rows}


def _print(found: Contributions, reasons: tuple[tuple[Reason, ...], ...]) -> None:
    shown = Table("row", "score", "base", "reasons, heaviest first", title="Log-odds of bad", title_justify="left")
    for number, (score, reasons_of_row) in enumerate(zip(found.scores.tolist(), reasons, strict=True), start=1):
        lines = "\n".join(f"{one.contribution:+.2f} {escape(one.text)}" for one in reasons_of_row)
        shown.add_row(str(number), f"{score:.2f}", f"{found.base:.2f}", lines or "none")
    Console().print(shown)
