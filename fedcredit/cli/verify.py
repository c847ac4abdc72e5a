"""``fedcredit verify RUN``: whether a finished job is what its members signed, checked offline."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedcredit.custodian.site_file import load_site_file
from fedcredit.printable import printable
from fedcredit.verify.checks import Check, Result
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import Beside, holds, verify_run


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    *,
    store: Annotated[Path | None, typer.Option(help="The coordinator's job store, if it lies elsewhere.")] = None,
    plan: Annotated[str | None, typer.Option(help="Beginning of the plan's hash that you joined.")] = None,
    roster: Annotated[Path | None, typer.Option(help="The signed roster that the plan should hold.")] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="Folder of receipts that members wrote ('fedcredit audit receipt').")
    ] = None,
    own: Annotated[Path | None, typer.Option(help="Your SITE.yaml: compare with your own ledger, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Check a finished job offline: signatures, sums, model, rounds, receipts; exit with 1 if anything fails."""
    site = None if own is None else load_site_file(own)
    checks = verify_run(find_run(run, store), Beside(plan, roster, receipts, site))
    if as_json:
        typer.echo(json.dumps({"holds": holds(checks), "checks": [_as_json(check) for check in checks]}, indent=2))
    else:
        _print(checks)
    if not holds(checks):
        raise typer.Exit(1)


def _as_json(check: Check) -> dict[str, str]:
    return {"check": check.name, "result": check.result.value, "where": check.where, "detail": check.detail}


def _print(checks: list[Check]) -> None:
    table = Table("check", "result", "where", "what was found", box=box.SIMPLE_HEAD, pad_edge=False)
    for check in checks:
        table.add_row(*(escape(printable(cell)) for cell in _as_json(check).values()))
    Console().print(table)
    failures = sum(check.result is Result.FAILED for check in checks)
    unchecked = sum(check.result is Result.OPEN for check in checks)
    verdict = f"{failures} checks failed" if failures else "nothing failed"
    typer.echo(f"{verdict}, {unchecked} could not be made; docs/verify.md says what this proves and what it cannot")
