"""``fedcredit roster``: show a roster, sign it, stop every job under it.

A stop is one signed message. Any member can write it and hand it to the others as a file; each member's own operator
delivers it to the custodian on the own machine, so a stop needs no coordinator.
"""

from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.table import Table

from fedcredit.custodian.address import CHANNEL_OPTIONS, METHOD, call_metadata, grpc_target
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.custodian.site_file import SiteFile, load_site_file, membership_problems
from fedcredit.errors import ConfigError, RefusalError, WireError
from fedcredit.provisioning.new_files import write_file
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, load_roster, read_roster_file, write_roster_file
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import Refusal, StopReply, StopRequest

app = typer.Typer(no_args_is_help=True, help="Show, sign and stop the consortium's roster.")

RosterArgument = Annotated[Path, typer.Argument(help="The roster file (YAML).", show_default=False)]
SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
_TIMEOUT_S = 60.0


@app.command()
def show(roster: RosterArgument) -> None:
    """Show the members, who has signed, and the hash to compare with the other members."""
    _print(read_roster_file(roster))


@app.command()
def sign(roster: RosterArgument, site: SiteArgument) -> None:
    """Show a roster and add this institution's signature to its file."""
    file, signed = load_site_file(site), read_roster_file(roster)
    # The roster to sign need not be the one that SITE.yaml pins so far.
    key = _member_key(file.model_copy(update={"roster": roster}), signed.roster)
    if signed.holds(file.institution):
        typer.echo(f"{file.institution} has signed {roster} already; nothing was written")
        return
    _print(signed)
    write_roster_file(roster, signed.signed_with(file.institution, key))
    dropped = [name for name in signed.broken() if name != file.institution]
    if dropped:
        typer.echo(f"took out signatures that do not hold for this roster: {', '.join(dropped)}")
    typer.echo(f"{file.institution} signed {roster}; pass it on until every member has signed")


@app.command()
def stop(
    site: SiteArgument, out: Annotated[Path, typer.Argument(help="Where to write the stop.", show_default=False)]
) -> None:
    """Write this institution's signed stop of every job under its roster; delivers nothing."""
    file = load_site_file(site)
    roster = load_roster(file.roster)
    key = _member_key(file, roster)
    write_file(out, key.seal(file.institution, StopRequest(roster.digest())))
    typer.echo(f"wrote {out}: {file.institution} stops every job under roster version {roster.version}")
    typer.echo(f"each member, this one too, runs: fedcredit roster deliver SITE.yaml {out.name}")


@app.command()
def deliver(
    site: SiteArgument, stop: Annotated[Path, typer.Argument(help="The stop that a member wrote.", show_default=False)]
) -> None:
    """Hand a member's stop to this institution's running custodian."""
    file = load_site_file(site)
    key, request = SigningKey.load(file.identity_key), _read_stop(stop)
    match open_envelope(_ask(file, request)).verify(key.public):
        case StopReply() as reply:
            typer.echo(f"stopped: no job under roster {reply.roster_hash.hex()[:16]} is answered any more")
            typer.echo(f"the ledger of {file.institution} has {reply.event_count} events")
        case Refusal() as refusal:
            raise RefusalError(refusal.code, f"the custodian refused the stop: {refusal.text}")
        case other:
            raise RefusalError(
                "answer", f"the custodian answered a stop with {type(other).__name__}; restart it with this version."
            )


def _print(signed: SignedRoster) -> None:
    roster = signed.roster
    table = Table("id", "kind", "region", "size", "key", "signed")
    for one in roster.members:
        row = (one.id, one.kind, one.region, str(one.public_size), one.public_key[:16], _state(signed, one.id))
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
    for one in roster.members:
        if one.node_key is not None:
            typer.echo(f"node key of {one.id}: {one.node_key}")
    typer.echo(f"version {roster.version}, valid to the end of {roster.expires} (UTC), {roster.total_size} records")
    typer.echo(f"replaces {roster.previous or 'nothing: the first version'}")
    typer.echo(f"hash {roster.digest().hex()}")


def _state(signed: SignedRoster, institution: str) -> str:
    if signed.holds(institution):
        return "yes"
    return "does not hold" if institution in signed.signatures else "no"


def _member_key(file: SiteFile, roster: Roster) -> SigningKey:
    """The identity key, which the roster must pin for this institution."""
    key = SigningKey.load(file.identity_key)
    for problem in membership_problems(file, roster, key):
        raise ConfigError(problem)
    return key


def _read_stop(path: Path) -> bytes:
    try:
        request = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"stop {path} cannot be read ({error.strerror}); name the file that the member sent."
        ) from error
    try:
        kind = open_envelope(request).kind
    except WireError as error:
        raise ConfigError(f"{path} holds no signed message; have the member send its stop again, unchanged.") from error
    if kind != StopRequest.kind:
        raise ConfigError(f"{path} holds another message than a stop; name the file that the member sent.")
    return request


def _ask(file: SiteFile, request: bytes) -> bytes:
    token = None if file.relay_token is None else load_relay_token(file.relay_token)
    with grpc.insecure_channel(grpc_target(file.socket), options=CHANNEL_OPTIONS) as channel:
        handle: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        try:
            return handle(request, timeout=_TIMEOUT_S, metadata=call_metadata(file.institution, token))
        except grpc.RpcError as error:
            raise RefusalError(
                "custodian-unreachable",
                f"the custodian at {file.socket} gave no answer ({error.code().name}); start it with 'fedcredit "
                "custodian serve SITE.yaml' and deliver the stop again.",
            ) from error
