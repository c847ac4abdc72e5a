"""``fedcredit institution``: an institution's way into a consortium, through its rosters, and out of it."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fedcredit.cli.dry_run import rehearse_plan
from fedcredit.custodian.site import machine_clock
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile, load_node_file
from fedcredit.provisioning.adoption import Proposal, look_at
from fedcredit.provisioning.adoption import adopt as take_over
from fedcredit.provisioning.check_connection import connection_rows
from fedcredit.provisioning.check_machine import machine_rows
from fedcredit.provisioning.check_site import SiteCheck
from fedcredit.provisioning.checks import Row, Verdict, skipped
from fedcredit.provisioning.institution import InstitutionRequest, new_institution
from fedcredit.provisioning.invitation import fingerprint, read_invitation
from fedcredit.provisioning.new_files import write_new
from fedcredit.provisioning.own_requests import OwnRequest, request_leave, request_rotation
from fedcredit.roster_file import write_roster_file

app = typer.Typer(no_args_is_help=True, help="Join a consortium, check the site, follow its rosters, leave it.")
app.command("dry-run")(rehearse_plan)

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
RosterArgument = Annotated[Path, typer.Argument(help="The roster that is proposed.", show_default=False)]
NodeOption = Annotated[
    Path | None, typer.Option("--node", help="NODE.yaml, if the node key changes too.", show_default=False)
]
ThroughOption = Annotated[
    list[Path] | None,
    typer.Option("--through", help="A linked job's roster in between, which this site was not in.", show_default=False),
]
_STYLES = {Verdict.OK: "green", Verdict.FAILED: "bold red", Verdict.SKIPPED: "yellow"}


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where the institution's files shall be.", show_default=False)],
    *,
    institution: Annotated[str, typer.Option("--id", help="The institution's id in the roster.", show_default=False)],
    kind: Annotated[str, typer.Option(help="bank, hospital, or another type of the dictionary.", show_default=False)],
    region: Annotated[str, typer.Option(help="Where it is, e.g. DE.", show_default=False)],
    size: Annotated[int, typer.Option(min=1, help="Rounded number of records; published.", show_default=False)],
    invitation: Annotated[Path, typer.Option(help="What the coordinator's operator sent.", show_default=False)],
    kit: Annotated[Path, typer.Option(help="The node kit: the folder that holds clients/.")] = Path(),
    data: Annotated[
        Path | None, typer.Option(help="The table (.parquet or .csv), as SITE.yaml shall name it.", show_default=False)
    ] = None,
) -> None:
    """Make keys here, write SITE.yaml, policy.yaml, mapping.yaml and NODE.yaml, and the application to send."""
    invited = read_invitation(invitation)
    made = new_institution(InstitutionRequest(institution, kind, region, size, kit, data), invited)
    write_new(folder, made.files)
    letter = invited.letter
    typer.echo(f"wrote {len(made.files)} files to {folder}; keys/ never leaves: back it up, and send none of it")
    typer.echo(f"coordinator {letter.coordinator} at {letter.superlink}, key {fingerprint(letter.coordinator_key)}")
    typer.echo(f"compare the invitation's hash with the operator over a second channel: {invited.digest().hex()}")
    if not letter.bundles:
        typer.echo("the invitation names no app bundle; list the reviewed one in NODE.yaml before the node is started")
    typer.echo(f"read {folder / 'policy.yaml'}, {folder / 'mapping.yaml'} and the data lines of {folder / 'SITE.yaml'}")
    typer.echo(f"send {folder / f'{institution}.application.yaml'}; public key {made.application.member.public_key}")


@app.command()
def check(
    site: SiteArgument,
    node: Annotated[Path | None, typer.Argument(help="NODE.yaml; without it no network.", show_default=False)] = None,
    *,
    released: Annotated[
        Path | None, typer.Option(help="A finished job's folder: compare units with its released counts.")
    ] = None,
) -> None:
    """Check everything before joining: one row each, with a remedy where it fails; nothing is changed or joined."""
    file, own_node = load_site_file(site), None if node is None else load_node_file(node)
    rows = SiteCheck(file, own_node, _today(), released).rows()
    if own_node is None:
        rows += [skipped(name, "no NODE.yaml was given") for name in ("network", "TLS", "coordinator", "clock")]
    else:
        rows += connection_rows(own_node, machine_clock)
    rows += machine_rows(file, own_node)
    _print(rows)
    failed = [row.check for row in rows if row.verdict is Verdict.FAILED]
    typer.echo("What this check says stays on this console; nothing about the data was sent.")
    if failed:
        typer.echo(f"{len(failed)} of {len(rows)} checks failed: {', '.join(failed)}")
        raise typer.Exit(1)


@app.command()
def approve(
    site: SiteArgument,
    roster: RosterArgument,
    node: NodeOption = None,
    *,
    through: ThroughOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
) -> None:
    """Show what a roster changes, sign it, and take it over if that was the last signature."""
    file = load_site_file(site)
    proposal = look_at(file, roster, _today(), through or ())
    _show(proposal)
    if not proposal.signed.holds(file.institution):
        if not yes and not typer.confirm(f"sign as {file.institution}?"):
            typer.echo("nothing was signed")
            raise typer.Exit(1)
        write_roster_file(roster, proposal.signed.signed_with(file.institution, proposal.key))
        typer.echo(f"{file.institution} signed {roster}")
        proposal = look_at(file, roster, _today(), through or ())
    missing = [one.id for one in proposal.signed.roster.members if not proposal.signed.holds(one.id)]
    if missing:
        typer.echo(f"not signed yet by {', '.join(missing)}; pass the file on")
        typer.echo(f"when all have signed: fedcredit institution adopt {site} {roster.name}")
        return
    _take_over(file, _node(node), proposal)


@app.command()
def adopt(
    site: SiteArgument, roster: RosterArgument, node: NodeOption = None, *, through: ThroughOption = None
) -> None:
    """Put a roster that all members have signed in the place of the one that SITE.yaml pins."""
    file = load_site_file(site)
    proposal = look_at(file, roster, _today(), through or ())
    if not proposal.signed.holds(file.institution):
        raise ConfigError(
            f"{file.institution} has not signed {roster}; look at it first: fedcredit institution approve {site} "
            f"{roster}"
        )
    _take_over(file, _node(node), proposal)


@app.command("rotate-key")
def rotate_key(site: SiteArgument, node: NodeOption = None) -> None:
    """Make a new identity key, and with --node a new node key, and the signed request for the next roster."""
    asked = request_rotation(load_site_file(site), _node(node), site.parent)
    typer.echo(f"new public key {asked.application.member.public_key}; the present one stays in use until then")
    _say_request(asked, "when the next roster comes, approve it; adopting it exchanges the keys")


@app.command()
def leave(site: SiteArgument) -> None:
    """Write the signed request to be left out of the next roster."""
    asked = request_leave(load_site_file(site), site.parent)
    _say_request(asked, "until the others adopt the next roster this site is a member; keep its ledger for ever")


def _say_request(asked: OwnRequest, then: str) -> None:
    typer.echo(f"wrote {asked.path}; send it to the coordinator's operator, who runs: fedcredit consortium enroll")
    typer.echo(then)


def _show(proposal: Proposal) -> None:
    roster = proposal.signed.roster
    pinned = "none is pinned yet" if proposal.pinned is None else f"version {proposal.pinned.version} is pinned"
    typer.echo(f"roster version {roster.version}, valid to the end of {roster.expires}; {pinned}")
    for line in proposal.changes or ("it changes nothing",):
        typer.echo(f"  {line}")
    typer.echo(f"hash, to be compared with the other members: {roster.digest().hex()}")


def _take_over(file: SiteFile, node: NodeFile | None, proposal: Proposal) -> None:
    for line in take_over(file, node, proposal, _today()):
        typer.echo(line)
    typer.echo("restart the custodian if it is running")


def _node(path: Path | None) -> NodeFile | None:
    return None if path is None else load_node_file(path)


def _today() -> date:
    return datetime.now(UTC).date()


def _print(rows: list[Row]) -> None:
    found = Column("found, and what to do", overflow="fold")
    table = Table("check", "result", found, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(row.check, Text(row.verdict, _STYLES[row.verdict]), Text(row.text))
    Console().print(table)
