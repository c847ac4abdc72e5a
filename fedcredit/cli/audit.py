"""``fedcredit audit``: what this institution's custodian was asked and decided, and the receipt of a job.

All of it only reads, and works while a custodian runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedcredit.audit.reading import charged, check, concerns, lines_of, named_key
from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.site_file import load_site_file
from fedcredit.errors import ConfigError
from fedcredit.printable import printable
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning.new_files import write_file
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import PUBLIC_KEY_BYTES, SigningKey

app = typer.Typer(no_args_is_help=True, help="Read and check what this institution's custodian was asked.")

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
_COLUMNS = ("time (UTC)", "what", "who", "job", "place", "decision", "ledger")
_AMOUNTS = ("reserved", "cost", "released", "lost_cost")


@app.command()
def show(
    site: SiteArgument,
    *,
    job: Annotated[str, typer.Option(help="Only lines about the job whose plan hash begins so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value a line instead of a table.")] = False,
) -> None:
    """Show every request, decision, charge and release; the chain and its signatures are checked first."""
    file = load_site_file(site)
    path = trail_of(file.ledger)
    check(path, SigningKey.load(file.identity_key).public)
    lines = [line for line in lines_of(path) if not job or concerns(line, job.lower())]
    if as_json:
        for line in lines:
            typer.echo(canonical_json(line.values))
        return
    table = Table(
        "time (UTC)", "what", "who", "job", "place", "decision", "ledger", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for line in lines:
        table.add_row(*(escape(printable(cell)) for cell in _row(line.values, charged(line))))
    Console().print(table)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The newest file of an audit trail.", show_default=False)],
    key: Annotated[
        str | None, typer.Option(help="The institution's public key as hex, from the roster.", show_default=False)
    ] = None,
) -> None:
    """Check a trail offline, with the files that were set aside before it: order, hashes and signatures."""
    public_key = named_key(file) if key is None else _public_key(key)
    found = check(file, public_key)
    typer.echo(f"{found.lines} lines, numbers {found.first} to {found.last}, each hashed into the next and signed")
    whose = "as the file itself names; compare with the roster, or give --key" if key is None else "as --key says"
    typer.echo(f"signed by {public_key.hex()}, {whose}")
    if found.first > 1:
        typer.echo(f"lines 1 to {found.first - 1} are in files that are not here")
    if found.torn_bytes:
        typer.echo(f"the last line is torn ({found.torn_bytes} bytes): a crash, which the next start cuts off and says")


@app.command()
def receipt(
    site: SiteArgument,
    job: Annotated[str, typer.Argument(help="Beginning of the job's plan hash.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write; an existing one is kept.", show_default=False)],
) -> None:
    """Write this institution's signed receipt of a job, for other members' 'fedcredit verify --receipts'."""
    file = load_site_file(site)
    with Ledger.read(file.ledger, SigningKey.load(file.identity_key).public) as ledger:
        hashes = [plan_hash for plan_hash in ledger.jobs() if plan_hash.hex().startswith(job.lower())]
        if len(hashes) != 1:
            raise ConfigError(
                f"{len(hashes)} jobs begin with {job!r}; give the hash of one, see 'fedcredit ledger show'."
            )
        stored = [message for _, kind, message in ledger.messages(hashes[0]) if kind == "close" and message]
    if not stored:
        raise ConfigError(f"job {hashes[0].hex()[:16]} has no receipt: it is open, or was closed without one.")
    write_file(out, stored[0])
    typer.echo(f"wrote {out}")


def _row(values: Mapping[str, Any], new: list[dict[str, Any]]) -> list[str]:
    sender = values.get("sender") or ""
    claimed = f"{sender}, not proved" if sender and not values.get("proved") else sender
    place = " ".join(str(values[name]) for name in ("role", "round", "attempt") if name in values)
    decision = " ".join(str(values[name]) for name in ("decision", "code") if values.get(name))
    what = str(values.get("kind", values["event"])).replace("_", " ")
    return [
        values["at"][:19].replace("T", " "),
        what,
        claimed,
        values.get("plan_hash", "")[:16],
        place,
        decision + (", withheld" if values.get("withheld") else "") + _counts(values),
        "; ".join(_amount(event) for event in new),
    ]


def _counts(values: Mapping[str, Any]) -> str:
    counted = values.get("requests", [])
    return f"{sum(one['count'] for one in counted)} requests without a line of their own" if counted else ""


def _amount(event: Mapping[str, Any]) -> str:
    amounts = [f"{name} {event[name]}" for name in _AMOUNTS if event.get(name) is not None]
    return " ".join([f"{event['number']} {event['event']}", *amounts])


def _public_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise ConfigError(f"--key {text!r} is no public key; copy the {2 * PUBLIC_KEY_BYTES} hex digits of the roster.")
    return key
