"""``fedcredit ledger``: open a ledger from the policy, show what it holds, close an abandoned job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.errors import ConfigError
from fedcredit.plan import parse_plan
from fedcredit.planning import mixed_accountant
from fedcredit.privacy.accounting import Accountant, GaussianAccountant, NoAccountant
from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True)

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]


@app.command("open")
def open_ledger(
    site: SiteArgument,
    mode: Annotated[
        str, typer.Option(help="gaussian, or mixed if sampled (neural) jobs shall be possible.")
    ] = "gaussian",
) -> None:
    """Open the population's ledger with the budget of the policy; done once in its life."""
    file = load_site_file(site)
    unit, accountant = _budget(file, mode)
    key = SigningKey.load(file.identity_key)
    Ledger.create(file.ledger, key, Account(file.population, unit, accountant)).close()
    typer.echo(f"opened {file.ledger} for population {file.population} ({accountant.mode}, unit {unit})")


@app.command()
def show(site: SiteArgument) -> None:
    """Show the ledger's events and what is spent and set aside; verifies the whole chain first."""
    file = load_site_file(site)
    with Ledger.open(file.ledger, SigningKey.load(file.identity_key)) as ledger:
        account, committed = ledger.account, ledger.committed()
        job = Column("job", no_wrap=True)
        table = Table("event", job, "role", "round", "attempt", "cost", "members", box=box.SIMPLE_HEAD, pad_edge=False)
        for event in ledger.events():
            table.add_row(*_row(event), _company(ledger, event))
    console = Console()
    console.print(table)
    console.print(f"population {account.population}, unit {account.unit}, mode {account.accountant.mode}")
    if file.policy is not None:
        policy = load_policy(file.policy)
        spent = account.accountant.epsilon(committed, policy.delta)
        console.print(f"spent or set aside: epsilon {spent:.4f} of {policy.epsilon} at delta {policy.delta:g}")


@app.command()
def close(
    site: SiteArgument,
    job: Annotated[str, typer.Argument(help="Beginning of the job's hash, as 'show' prints it.", show_default=False)],
) -> None:
    """Close a job that its coordinator abandoned; what was sent stays spent, the rest of its reservation is free."""
    file = load_site_file(site)
    with Ledger.open(file.ledger, SigningKey.load(file.identity_key)) as ledger:
        matching = [plan_hash for plan_hash in ledger.open_jobs() if plan_hash.hex().startswith(job.lower())]
        if len(matching) != 1:
            raise ConfigError(f"{len(matching)} open jobs begin with {job!r}; give the hash of one, see 'show'.")
        ledger.abandon(matching[0])
    typer.echo(f"closed {matching[0].hex()[:16]}; it will not be answered again")


def _row(event: Mapping[str, Any]) -> list[str]:
    cost = f"{float(read_fraction(event['cost'])):.3g}" if "cost" in event else ""
    words = [str(event.get(name, "")) for name in ("role", "round", "attempt")]
    return [event["event"], event.get("plan_hash", "")[:16], *words, cost]


def _company(ledger: Ledger, event: Mapping[str, Any]) -> str:
    """With whom a message was summed: sums over varying members are how a coordinator would single somebody out."""
    job = ledger.job(bytes.fromhex(event["plan_hash"])) if "members" in event else None
    if job is None:
        return ""
    left_out = [name for name in parse_plan(job.plan).members if name not in event["members"]]
    return f"{len(event['members'])}" + (f", without {', '.join(left_out)}" if left_out else "")


def _budget(file: SiteFile, mode: str) -> tuple[str, Accountant]:
    if file.policy is None:
        return "record", NoAccountant()
    policy = load_policy(file.policy)
    match mode:
        case "gaussian":
            return policy.unit.value, GaussianAccountant.for_target(policy.epsilon, policy.delta)
        case "mixed":
            return policy.unit.value, mixed_accountant(policy.epsilon, policy.delta)
        case _:
            raise ConfigError(f"ledger mode {mode!r} is unknown; choose gaussian or mixed.")
