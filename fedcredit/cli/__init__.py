"""The ``fedcredit`` command: what an institution's own people type.

Every error of our own is one sentence on standard error and a non-zero exit code; a traceback means a defect of ours.
"""

import sys

import typer

from fedcredit import __version__
from fedcredit.cli import audit, custodian, dictionary, explain, jobs, ledger, model, roster, verify
from fedcredit.errors import CheckError, FedcreditError

app = typer.Typer(
    name="fedcredit",
    help="Joint credit scorecards under record-level differential privacy: the institution's side.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dictionary.app, name="dictionary", help="Write and check a data dictionary.")
app.add_typer(custodian.app, name="custodian", help="Serve and check this institution's custodian.")
app.add_typer(audit.app, name="audit", help="Read and check what this institution's custodian was asked.")
app.add_typer(jobs.app, name="jobs", help="See what is asked of this institution; approve or deny it.")
app.add_typer(ledger.app, name="ledger", help="Open and read this institution's privacy ledger.")
app.add_typer(model.app, name="model", help="Check a torch module before it may run here.")
app.add_typer(roster.app, name="roster", help="Show, sign and stop the consortium's roster.")
app.command()(explain.explain)
app.command()(verify.verify)


@app.command()
def version() -> None:
    """Print the installed version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; exit with 1 on any error of our own."""
    try:
        app()
    except CheckError as error:
        for problem in error.problems:
            typer.echo(f"problem: {problem}", err=True)
        sys.exit(1)
    except FedcreditError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except PermissionError as error:
        typer.echo(f"error: {error.filename} cannot be read or written; check its owner and mode.", err=True)
        sys.exit(1)
