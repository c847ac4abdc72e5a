"""``fedcredit dictionary bins``: the bins of an optbinning table as grids for the dictionary."""

from pathlib import Path
from typing import Annotated

import typer

from fedcredit.dictionary.binning_table import grid_yaml, load_binning_table
from fedcredit.errors import ConfigError


def bins(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Binning table, .csv or .json.", show_default=False)],
    *,
    variable: Annotated[str | None, typer.Option(help="Only this variable of the table.")] = None,
) -> None:
    """Print the grid of each variable of an optbinning table, to paste into the dictionary; edges are as printed.

    Bins that were fitted to records reveal something of them: use them for a dictionary only where that is allowed.
    """
    found = [one for one in load_binning_table(table) if variable in (None, one.variable)]
    if not found:
        raise ConfigError(f"{table} has no variable {variable!r}; leave --variable out to see all.")
    for one in found:
        typer.echo(grid_yaml(one), nl=False)
