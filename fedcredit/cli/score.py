"""``fedcredit score``: probability, points and reasons for every row of a table, as a Parquet file.

For an institution's own console. It reads the package and the institution's own rows and writes a file of the
institution's own; on the console it prints counts only.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fedcredit.data.sources import open_source, spec_of
from fedcredit.dictionary.mapping import load_mapping
from fedcredit.errors import ConfigError
from fedcredit.key_files import load_data_key
from fedcredit.package.contents import ModelPackage
from fedcredit.package.storage import load_package
from fedcredit.registry.gate import Gate
from fedcredit.scoring.batch import Summary, Wanted, score_table
from fedcredit.scoring.card import ScoringCard, card_of
from fedcredit.scoring.decisions import DecisionLog
from fedcredit.scoring.permission import Permitted, always_permitted

PackageArgument = Annotated[Path, typer.Argument(metavar="PACKAGE", help="Folder or zip file.", show_default=False)]
OutOption = Annotated[Path, typer.Option(help="New Parquet file for the scores.")]
ViewOption = Annotated[str | None, typer.Option(help="Institution type whose customers the rows are.")]
MappingOption = Annotated[Path | None, typer.Option(help="Column mapping (YAML); default: same names.")]
CutOffOption = Annotated[int | None, typer.Option(help="Approve from so many points on; default: no verdict.")]
DecisionsOption = Annotated[Path | None, typer.Option(help="Append every decision to this SQLite file.")]
KeyOption = Annotated[Path | None, typer.Option(help="data.key, for the log's hashes of persons.")]
RegistryOption = Annotated[
    Path | None, typer.Option(help="REGISTRY.yaml: decide only while it says that the package is approved.")
]


def score(  # noqa: PLR0913  (a command's options)
    package: PackageArgument,
    table: Annotated[
        str,
        typer.Argument(metavar="DATA", help="A .csv or .parquet file, or a database URI#table.", show_default=False),
    ],
    *,
    out: OutOption,
    view: ViewOption = None,
    mapping: MappingOption = None,
    cut_off: CutOffOption = None,
    decisions: DecisionsOption = None,
    key: KeyOption = None,
    registry: RegistryOption = None,
) -> None:
    """Score every row of a table; a block that it lacks contributes nothing, odd input is flagged, never clipped."""
    loaded = load_package(package)
    card = card_of(loaded, loaded.view(view))
    with ExitStack() as stack:
        wanted = Wanted(cut_off, *decision_log(decisions, key, stack), permitted=permission(registry, loaded))
        score_and_say(card, table, mapping, out, wanted)


def score_and_say(card: ScoringCard, table: str, mapping: Path | None, out: Path, wanted: Wanted) -> None:
    """Score a table behind a progress bar, and print what was written, in counts."""
    columns = load_mapping(mapping) if mapping else None
    with _progress_bar() as shown:
        task = shown.add_task("scoring", total=1.0, rows=0)
        summary = score_table(
            card,
            open_source(spec_of(table)),
            columns,
            out,
            wanted,
            lambda done, rows: shown.update(task, completed=done, rows=rows),
        )
    _print_summary(summary, out)


def permission(registry: Path | None, package: ModelPackage) -> Permitted:
    """What is asked before every decision; it is asked once here, so that a command ends before it begins.

    Raises
    ------
    ConfigError
        If the registry does not let the package decide now.
    """
    if registry is None:
        return always_permitted
    gate = Gate(registry, package)
    gate()
    return gate


def decision_log(path: Path | None, key: Path | None, stack: ExitStack) -> tuple[DecisionLog | None, bytes]:
    """The log, opened, and its key; nothing where no log is wanted.

    Raises
    ------
    ConfigError
        If there is no key for it.
    """
    if path is None:
        return None, b""
    if key is None:
        raise ConfigError("a decision log names persons by keyed hash; give the institution's data.key with --key.")
    secret = load_data_key(key)
    return stack.enter_context(DecisionLog(path)), secret


def _progress_bar() -> Progress:
    """Rows and time left, on standard error; nothing where that is no terminal."""
    rows = TextColumn("{task.fields[rows]:,} rows")
    words = (TextColumn("{task.description}"), BarColumn(), rows, TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*words, console=console, transient=True, disable=not console.is_terminal)


def _print_summary(summary: Summary, out: Path) -> None:
    """Print what was written, in counts."""
    typer.echo(f"wrote {out}: {summary.rows:,} rows, {summary.flagged:,} with flagged input")
    for block in summary.absent:
        typer.echo(f"block {block}: not in the table; it contributes 0 to every score, and every row says so")
