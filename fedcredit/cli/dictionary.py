"""``fedcredit dictionary``: draft a data dictionary, and check a table against one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fedcredit.cli.lazy import lazily
from fedcredit.data.sources import open_source, spec_of
from fedcredit.dictionary.check import Findings, examine_table
from fedcredit.dictionary.draft import draft_dictionary
from fedcredit.dictionary.mapping import identity_mapping, load_mapping
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import ConfigError
from fedcredit.provisioning.new_files import write_file

COMMANDS = {"bins": "fedcredit.cli.dictionary_bins:bins"}

app = typer.Typer(
    cls=lazily(COMMANDS), no_args_is_help=True, help="Draft a data dictionary, or check a table against one."
)

_TABLE = typer.Argument(metavar="TABLE", help="A .csv or .parquet file, or a database URI#table.")


class Unit(StrEnum):
    """Privacy unit for the check of ids."""

    RECORD = "record"
    PERSON = "person"


@app.command()
def draft(
    table: Annotated[str, _TABLE],
    *,
    from_data: Annotated[
        bool, typer.Option("--from-data", help="Read ranges off the data; the result is for simulation only.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the dictionary here instead of printing it.")] = None,
    mapping_out: Annotated[Path | None, typer.Option(help="Write the column mapping here, if one is needed.")] = None,
) -> None:
    """Write a commented dictionary from column names and types; no value is read unless --from-data."""
    result = draft_dictionary(open_source(spec_of(table)), table, from_data=from_data)
    _write(result.dictionary, out)
    if result.mapping is None:
        return
    if mapping_out is None:
        note = "some column names differ from their features': run again with --mapping-out FILE for the mapping"
        Console(stderr=True).print(note, soft_wrap=True)
    else:
        _write(result.mapping, mapping_out)


@app.command()
def check(
    dictionary: Annotated[Path, typer.Argument(metavar="DICT", help="The data dictionary (YAML).")],
    table: Annotated[str, _TABLE],
    *,
    kind: Annotated[str | None, typer.Option(help="Institution type; needed if the dictionary has several.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Column mapping (YAML); default: same names.")] = None,
    unit: Annotated[Unit, typer.Option(help="Privacy unit.")] = Unit.RECORD,
    cap: Annotated[int, typer.Option(min=1, help="Rows kept per person under --unit person.")] = 1,
) -> None:
    """List every problem of a table at once; exit code 1 if there is any. Prints counts, never a value."""
    contract = load_dictionary(dictionary)
    own = kind or _only_kind(contract)
    columns = load_mapping(mapping) if mapping else identity_mapping(contract, own)
    findings = examine_table(contract, own, columns, open_source(spec_of(table)), unit=unit, cap=cap)
    _print(findings, table)
    if findings.problems:
        raise typer.Exit(1)


def _only_kind(dictionary: DataDictionary) -> str:
    if len(dictionary.kinds) > 1:
        raise ConfigError(
            f"dictionary {dictionary.name!r} has several institution types; set --kind to one of: "
            f"{', '.join(dictionary.kinds)}"
        )
    return dictionary.kinds[0]


def _print(findings: Findings, table: str) -> None:
    console = Console()
    for problem in findings.problems:
        console.print(f"[red]problem[/red] {escape(problem)}", soft_wrap=True)
    for note in findings.notes:
        console.print(f"[yellow]note[/yellow]    {escape(note)}", soft_wrap=True)
    verdict = f"{escape(table)}: {len(findings.problems)} problems, {len(findings.notes)} notes"
    console.print(verdict, soft_wrap=True)


def _write(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text, nl=False)
        return
    write_file(path, text.encode())
