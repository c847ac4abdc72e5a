"""The ``fedcredit`` command: what an institution's own people type.

Every error of our own is one sentence on standard error and a non-zero exit code; a traceback means a defect of ours.
"""

import typer

from fedcredit import __version__
from fedcredit.cli.lazy import lazily
from fedcredit.ending import run

# What each says of itself stands in its own module, which is loaded when it is run.
COMMANDS = {
    name: f"fedcredit.cli.{name.replace('-', '_')}:{attribute}"
    for name, attribute in (
        ("dictionary", "app"),
        ("custodian", "app"),
        ("audit", "app"),
        ("jobs", "app"),
        ("ledger", "app"),
        ("linked", "app"),
        ("model", "app"),
        ("models", "app"),
        ("review", "app"),
        ("consent", "app"),
        ("roster", "app"),
        ("institution", "app"),
        ("consortium", "app"),
        ("explain", "explain"),
        ("score", "score"),
        ("score-with-peer", "score_with_peer"),
        ("serve", "serve"),
        ("sent", "sent"),
        ("verify", "verify"),
        ("report", "report"),
    )
}

app = typer.Typer(
    name="fedcredit",
    cls=lazily(COMMANDS),
    help="Joint credit scorecards under record-level differential privacy: the institution's side.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Keep Typer from taking the one command below for the whole program."""


@app.command()
def version() -> None:
    """Print the installed version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; exit with 1 on any error of our own."""
    run(app)
