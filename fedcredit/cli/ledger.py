"""``fedcredit ledger``: open a ledger from the policy, begin an epoch, close an abandoned job, recover from a backup.

What only reads is in `fedcredit.cli.ledger_reports`; it works while a custodian runs.
"""

from fractions import Fraction
from typing import Annotated

import typer

from fedcredit.cli.ledger_reports import SiteArgument, export, show, simulate, verify
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file
from fedcredit.errors import ConfigError
from fedcredit.planning import mixed_accountant
from fedcredit.privacy.accounting import Accountant, GaussianAccountant, NoAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True, help="Open and read this institution's privacy ledger.")
for report in (show, verify, export, simulate):
    app.command()(report)


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
    Ledger.create(file.ledger, key, Account(file.population, unit, accountant), file.ledger_counter).close()
    typer.echo(f"opened {file.ledger} for population {file.population} ({accountant.mode}, unit {unit})")


@app.command()
def close(
    site: SiteArgument,
    job: Annotated[str, typer.Argument(help="Beginning of the job's hash, as 'show' prints it.", show_default=False)],
) -> None:
    """Close a job that its coordinator abandoned; what was sent stays spent, the rest of its reservation is free."""
    with _open(load_site_file(site)) as ledger:
        matching = [plan_hash for plan_hash in ledger.open_jobs() if plan_hash.hex().startswith(job.lower())]
        if len(matching) != 1:
            raise ConfigError(f"{len(matching)} open jobs begin with {job!r}; give the hash of one, see 'show'.")
        ledger.abandon(matching[0])
    typer.echo(f"closed {matching[0].hex()[:16]}; it will not be answered again")


@app.command()
def epoch(site: SiteArgument) -> None:
    """Begin the population's next epoch, with a budget of its own, if the data hold nobody of an earlier one."""
    file = load_site_file(site)
    data = load_site(file).data
    with _open(file) as ledger:
        number = ledger.open_epoch(data.units)
    typer.echo(f"epoch {number} of population {file.population} began; its units are in no earlier one")


@app.command()
def recover(
    site: SiteArgument,
    lost_epsilon: Annotated[
        float,
        typer.Option(min=0, help="Most that the lost messages can have cost, as an epsilon; 0 if none was lost."),
    ],
    at_delta: Annotated[
        float | None,
        typer.Option(help="Delta at which that epsilon holds, as a receipt says; the policy's.", show_default=False),
    ] = None,
) -> None:
    """Charge a ledger that was restored from a backup for what it has forgotten, and let it count on."""
    file = load_site_file(site)
    key = SigningKey.load(file.identity_key)
    with Ledger.read(file.ledger, key.public) as ledger:
        cost = _cost_of(ledger.account.accountant, lost_epsilon, at_delta, file)
    Ledger.recover(file.ledger, key, cost, file.ledger_counter)
    held = "" if at_delta is None else f" at delta {at_delta}"
    typer.echo(f"recovered {file.ledger}; epsilon {lost_epsilon}{held} is charged for what was lost")


def _open(file: SiteFile) -> Ledger:
    return Ledger.open(file.ledger, SigningKey.load(file.identity_key), file.ledger_counter)


def _cost_of(accountant: Accountant, epsilon: float, delta: float | None, file: SiteFile) -> Fraction:
    """The same epsilon is worth more at a larger delta: a job's own may be larger than the policy's."""
    if epsilon == 0 or file.policy is None:
        return Fraction(0)
    return accountant.target(epsilon, load_policy(file.policy).delta if delta is None else delta)


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
