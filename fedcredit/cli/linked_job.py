"""``fedcredit linked budget | roster | plan | site``: the files of a linked job, which then runs like any other.

Nothing here opens a record. Rosters hold when their members have signed them, a plan when custodians accept it.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError
from fedcredit.linked.budget import epsilon_together, split_epsilon
from fedcredit.linked.draft import base_plan, linked_plan_yaml, linked_site_yaml
from fedcredit.linked.rosters import linked_rosters
from fedcredit.privacy.printed import at_most_digits
from fedcredit.provisioning.new_files import NewFile, require_absent, write_new
from fedcredit.provisioning.roster_update import differences
from fedcredit.roster_file import SignedRoster, load_roster, write_roster_file


class HowFitted(StrEnum):
    """What is fitted to the released counts; see `fedcredit.models.joint_spec.JointSpec`."""

    ONE = "one"
    BY_FILE = "by_file"
    SURFACE = "surface"


_OUT = typer.Option(help="The file to write; an existing one is kept.", show_default=False)
_DICTIONARY = typer.Option(help="The linked dictionary, from 'fedcredit linked dictionary'.", show_default=False)


def budget(
    *,
    epsilon: Annotated[float, typer.Option(help="Of both jobs together.", show_default=False)],
    delta: Annotated[float, typer.Option(help="Of both jobs.", show_default=False)],
    percent: Annotated[int, typer.Option(help="The linked job's share of the cost.")] = 10,
) -> None:
    """Split an epsilon between base and linked job; done before the base job is planned."""
    base, linked = split_epsilon(epsilon, delta, percent)
    typer.echo(f"base job: epsilon {base}")
    typer.echo(f"linked job: epsilon {linked}")


def roster(
    base: Annotated[Path, typer.Argument(metavar="ROSTER", help="The base roster, signed by all.", show_default=False)],
    *,
    rows: Annotated[
        list[str],
        typer.Option(metavar="ID=NUMBER", help="Rounded number of linked rows.", show_default=False),
    ],
    out: Annotated[Path, _OUT],
    after: Annotated[Path, typer.Option(help="File for the version after it: the base members.", show_default=False)],
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; the base roster's if left out.")
    ] = None,
) -> None:
    """Write the linked job's roster, of the holders of linked rows, and the one that brings everybody back."""
    pinned = load_roster(base)
    made = linked_rosters(pinned, _sizes(rows), None if expires is None else expires.date())
    for path in (out, after):
        require_absent(path)
    for path, one in ((out, made.linked), (after, made.following)):
        write_roster_file(path, SignedRoster(one, {}))
        typer.echo(f"wrote {path}: version {one.version}, {len(one.members)} members, hash {one.digest().hex()}")
    for line in differences(pinned, made.linked):
        typer.echo(f"  {line}")
    typer.echo(f"each holder of linked rows runs: fedcredit institution approve SITE.yaml {out.name}")
    typer.echo(
        f"when the linked job is done, everybody: fedcredit institution approve SITE.yaml {after.name}; who is not in "
        f"{out.name} adds --through {out.name}"
    )


def plan(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the finished base job.", show_default=False)],
    *,
    dictionary: Annotated[Path, _DICTIONARY],
    job: Annotated[str, typer.Option(help="Name of the linked job; each job has its own.", show_default=False)],
    out: Annotated[Path, _OUT],
    epsilon: Annotated[float | None, typer.Option(min=0, help="Of the linked job; see 'budget'.")] = None,
    fit: Annotated[
        HowFitted, typer.Option(help="One λ for all, by thickness of the file, or a surface too.")
    ] = HowFitted.BY_FILE,
) -> None:
    """Write the PLAN.yaml of the linked job, which fits λ; refuses a dictionary that is not made of RUN's model."""
    linked, base = load_dictionary(dictionary), base_plan(run)
    _write(out, linked_plan_yaml(run, linked, job, epsilon, fit.value))
    typer.echo(f"wrote {out}: job {job} fits the joint view of {linked.kinds[0]} customers on top of job {base.job}")
    typer.echo(f"dictionary {linked.digest().hex()}; it and the linked roster go into the COORDINATOR.yaml of this job")
    if epsilon is not None and base.privacy.epsilon is not None and base.privacy.delta is not None:
        both = epsilon_together(base.privacy.epsilon, epsilon, base.privacy.delta)
        typer.echo(
            f"both jobs together: epsilon {at_most_digits(both, 4)} at delta {at_most_digits(base.privacy.delta, 6)} "
            "for a person in both"
        )


def site(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="SITE.yaml of the base job.", show_default=False)],
    *,
    dictionary: Annotated[Path, _DICTIONARY],
    data: Annotated[Path, typer.Option(help="The table, from 'fedcredit linked table'.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write, beside SITE.", show_default=False)],
) -> None:
    """Write the SITE.yaml of the linked job: same population, ledger, keys and roster, other dictionary and table.

    Relative paths of the dictionary and the table are taken from SITE's folder.
    """
    if out.resolve().parent != site.resolve().parent:
        raise ConfigError(f"{out} must lie beside {site}, whose relative paths it keeps; choose a name there.")
    _write(out, linked_site_yaml(site, dictionary, data))
    typer.echo(f"wrote {out}; restart the custodian with it for the linked job, and with {site.name} afterwards")


def _sizes(rows: list[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for one in rows:
        name, equals, number = one.partition("=")
        if not equals or not number.isdecimal() or name in sizes:
            raise ConfigError(f"--rows {one!r} is not ID=NUMBER, or names one twice; write e.g. --rows bank-1=12000.")
        sizes[name] = int(number)
    return sizes


def _write(path: Path, text: str) -> None:
    write_new(path.resolve().parent, {path.name: NewFile(text.encode())})
