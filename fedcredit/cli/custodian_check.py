"""``fedcredit custodian check``: everything that is wrong with a site, at once."""

from pathlib import Path
from typing import Annotated

import typer

from fedcredit.custodian.site_check import examine_site
from fedcredit.custodian.site_file import load_site_file
from fedcredit.errors import CheckError


def check(site: Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]) -> None:
    """Check the site's files and every declared column; all problems are listed on this console only."""
    file = load_site_file(site)
    findings = examine_site(file)
    for note in findings.notes:
        typer.echo(f"note: {note}")
    if findings.problems:
        raise CheckError(findings.problems)
    typer.echo(f"{file.institution} ({file.kind}): {findings.n_columns} declared columns read, no problem found")
    typer.echo("What this check says stays on this console; nothing was sent.")
