"""``fedcredit ledger show | verify | export | simulate``: what a ledger says, to its owner and to an auditor.

All of them only read, and work while a custodian runs.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from fedcredit.custodian.dry_run import would_refuse
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import Policy, load_policy
from fedcredit.custodian.site import Site
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file
from fedcredit.errors import ConfigError, LedgerError, PrivacyError
from fedcredit.plan import Plan, parse_plan, plan_digest
from fedcredit.privacy.accounting import Accountant, MixedAccountant
from fedcredit.privacy.events import read_fraction
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_audit import Audit, audit
from fedcredit.privacy.ledger_balance import (
    Balance,
    Epsilons,
    JobBalance,
    balance,
    job_balances,
    planned_epsilons,
    to_json,
)
from fedcredit.privacy.ledger_export import export_lines, is_export, read_export
from fedcredit.privacy.ledger_messages import verify_messages
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.privacy.printed import at_least, at_most, at_most_digits
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.provisioning.new_files import write_file
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import PUBLIC_KEY_BYTES, SigningKey
from fedcredit.wire.messages import Role

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]
_VIEWS = ("outsiders", "coordinator + t", "all others")


def show(site: SiteArgument, *, as_json: JsonOption = False) -> None:
    """Show events, what each job cost and may cost against whom, and what is left; verifies the whole chain first."""
    file = load_site_file(site)
    with _read(file) as ledger:
        totals = _totals(file, ledger.account.accountant, ledger)
        if as_json:
            typer.echo(canonical_json(to_json(ledger, file.kind, totals)))
            return
        account, console = ledger.account, Console()
        console.print(_events(ledger))
        console.print(
            f"population {account.population}, unit {account.unit}, mode {_mode(account.accountant)}, "
            f"epoch {ledger.epoch}"
        )
        if jobs := job_balances(ledger, file.kind):
            console.print(_jobs(jobs))
        if ledger.rolled_back:
            console.print("rolled back: an older copy; nothing is answered until 'fedcredit ledger recover'")
    if totals.epsilon_committed is not None and totals.epsilon_budget is not None:
        console.print(
            f"spent or set aside: epsilon {at_most(totals.epsilon_committed, 4)} of "
            f"{float(at_most(totals.epsilon_budget, 4))} at delta {at_most_digits(totals.delta or 0, 6)}"
        )
        console.print(f"left for one more job: epsilon {at_least(totals.epsilon_left or 0, 4)}")


def verify(
    file: Annotated[Path, typer.Argument(help="A ledger, or an export of one.", show_default=False)],
    key: Annotated[
        str | None, typer.Option(help="The institution's public key as hex, from the roster.", show_default=False)
    ] = None,
) -> None:
    """Check a ledger or an export offline: who signed, that nothing is missing in between, that the sums are right."""
    pinned = _public_key(key)
    if not file.is_file():
        raise ConfigError(f"{file} does not exist; give a ledger's file, or an export of one.")
    with file.open("rb") as opened:
        exported = is_export(opened.read(1))
    if exported:
        named, rows = read_export(file.read_bytes())
        found = audit(rows, pinned or named)
        if named.hex() != found.keys[-1]:
            raise LedgerError("the file names another public key than it is signed with; it is no ledger of ours.")
    else:
        with Ledger.read(file, pinned) as ledger:
            found = audit(ledger.rows(), ledger.public_key)
            messages = verify_messages(ledger)
    _say_checked(found, pinned=pinned is not None)
    if not exported:
        typer.echo(
            f"{messages} stored messages and every stored plan are those that were charged; units match the chain"
        )


def export(
    site: SiteArgument,
    out: Annotated[Path, typer.Option(help="The file to write; an existing one is kept.", show_default=False)],
) -> None:
    """Write every event with its hash and signature for an auditor; no message, no record's value, no id."""
    file = load_site_file(site)
    with _read(file) as ledger:
        lines = list(export_lines(ledger.rows(), SigningKey.load(file.identity_key)))
    write_file(out, b"".join(lines))
    typer.echo(f"wrote {len(lines) - 1} events to {out}; check it with 'fedcredit ledger verify {out}'")


def simulate(
    site: SiteArgument,
    plan: Annotated[Path, typer.Argument(help="A plan, as its coordinator sends it.", show_default=False)],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say what joining a plan would set aside and leave, and whether it would be refused; nothing is written."""
    file = load_site_file(site)
    try:
        data = plan.read_bytes()
    except OSError as error:
        raise ConfigError(f"plan {plan} cannot be read ({error.strerror}); give a plan's file.") from error
    own, parsed = load_site(file), parse_plan(data)
    with _read(file) as ledger:
        refusal = _refusal(own, ledger, data)
        document = _forecast(file, own, ledger, parsed)
    document |= {"plan_hash": plan_digest(data).hex(), "refused": refusal}
    if as_json:
        typer.echo(canonical_json(document))
        return
    _say_forecast(document)
    if isinstance(own.policy, Policy) and own.policy.approval is Approval.MANUAL and refusal is None:
        typer.echo("the policy then asks for an operator's approval: 'fedcredit jobs'")


def _read(file: SiteFile) -> LedgerReader:
    return Ledger.read(file.ledger, SigningKey.load(file.identity_key).public)


def _totals(file: SiteFile, accountant: Accountant, ledger: LedgerReader, more: Fraction = Fraction(0)) -> Balance:
    if file.policy is None or accountant.mode == "not_private":
        return Balance(None, None, None, None)
    policy = load_policy(file.policy)
    return balance(ledger.account, ledger.committed() + more, policy.epsilon, policy.delta)


def _events(ledger: LedgerReader) -> Table:
    job = Column("job", no_wrap=True)
    table = Table("event", job, "role", "round", "attempt", "cost", "members", box=box.SIMPLE_HEAD, pad_edge=False)
    for event in ledger.events():
        table.add_row(*_row(event), _company(ledger, event))
    return table


def _jobs(jobs: list[JobBalance]) -> Table:
    title = "epsilon spent / planned, each at its job's delta, against:"
    job = Column("job", no_wrap=True)
    table = Table(
        job, "epoch", "state", *_VIEWS, title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left"
    )
    for one in jobs:
        pairs = zip(_views(one.spent), _views(one.planned), strict=True)
        cells = [f"{_number(spent)} / {_number(planned)}" for spent, planned in pairs]
        cells[1] += f" (t = {one.colluders})"
        table.add_row(one.plan_hash[:16], str(one.epoch), "open" if one.open else "closed", *cells)
    return table


def _views(numbers: Epsilons) -> tuple[float | None, float | None, float | None]:
    return numbers.outsider, numbers.coordinator_and_t, numbers.all_others


def _number(epsilon: float | None) -> str:
    return "-" if epsilon is None else at_most(epsilon)


def _left(epsilon: float | None) -> str:
    return "-" if epsilon is None else at_least(epsilon)


def _row(event: Mapping[str, Any]) -> list[str]:
    cost = event.get("cost", event.get("lost_cost"))
    words = [str(event.get(name, "")) for name in ("role", "round", "attempt")]
    return [event["event"], event.get("plan_hash", "")[:16], *words, "" if cost is None else _cost(read_fraction(cost))]


def _company(ledger: LedgerReader, event: Mapping[str, Any]) -> str:
    """With whom a message was summed: sums over varying members are how a coordinator would single somebody out."""
    job = ledger.job(bytes.fromhex(event["plan_hash"])) if "members" in event else None
    if job is None:
        return ""
    left_out = [name for name in parse_plan(job.plan).members if name not in event["members"]]
    return f"{len(event['members'])}" + (f", without {', '.join(left_out)}" if left_out else "")


def _public_key(text: str | None) -> bytes | None:
    try:
        key = None if text is None else bytes.fromhex(text)
    except ValueError:
        key = b""
    if key is not None and len(key) != PUBLIC_KEY_BYTES:
        raise ConfigError(f"--key {text!r} is no public key; copy the {2 * PUBLIC_KEY_BYTES} hex digits of the roster.")
    return key


def _say_checked(found: Audit, *, pinned: bool) -> None:
    whose = "as --key says" if pinned else "as the file itself names; compare with the roster, or give --key"
    keys = ", then by ".join(found.keys)
    typer.echo(f"{found.events} events in order, each hashed into the next and signed by {keys}, {whose}")
    typer.echo(
        f"{found.charges} charges cost what their mechanisms cost, none twice, within what {found.jobs} jobs reserved"
    )
    typer.echo(
        f"no job was joined beyond the budget ({found.accountant.mode}, unit {found.unit}, population "
        f"{found.population}, epoch {found.epoch}, {found.open_jobs} jobs open)"
    )


def _refusal(site: Site, ledger: LedgerReader, data: bytes) -> dict[str, str] | None:
    """Join a copy of the ledger in memory: by which rule the custodian would refuse, and its sentence."""
    with Ledger.rehearsal(ledger) as copy:
        refusal = would_refuse(site, copy, data)
    return None if refusal is None else {"code": refusal.code, "sentence": str(refusal)}


def _forecast(file: SiteFile, site: Site, ledger: LedgerReader, plan: Plan) -> dict[str, Any]:
    account, joined = ledger.account, ledger.job(plan.digest()) is not None
    before = _totals(file, account.accountant, ledger)
    try:
        costs = {
            role.name.lower(): account.accountant.cost(mechanism(plan, site.kind, role)) * plan.phases.of(role).rounds
            for role in Role
        }
        total = planned_cost(plan, site.kind, account.accountant)
        planned = planned_epsilons(plan, site.kind, account, total)
    except (PrivacyError, ConfigError):  # the refusal says why
        return {"joined_already": joined, "costs": None, "planned": None, "left": [before.epsilon_left, None]}
    costs["reserve for retries"] = total - sum(costs.values(), Fraction(0))
    after = _totals(file, account.accountant, ledger, Fraction(0) if joined else total)
    return {
        "joined_already": joined,
        "costs": {name: float(cost) for name, cost in costs.items()},
        "planned": dict(zip(_VIEWS, _views(planned), strict=True)),
        "delta": plan.privacy.delta,
        "left": [before.epsilon_left, after.epsilon_left],
    }


def _say_forecast(document: Mapping[str, Any]) -> None:
    typer.echo(f"plan {document['plan_hash'][:16]}" + (", joined already" if document["joined_already"] else ""))
    for name, cost in (document["costs"] or {}).items():
        typer.echo(f"  {name}: {at_most_digits(cost, 4)} of the ledger's unit")
    for view, epsilon in (document["planned"] or {}).items():
        typer.echo(f"  planned epsilon against {view}: {_number(epsilon)} at delta {document['delta']}")
    before, after = document["left"]
    typer.echo(f"  left for one more job: epsilon {_left(before)} now, {_left(after)} afterwards")
    refusal = document["refused"]
    verdict = (
        "it would be joined" if refusal is None else f"it would be refused, {refusal['code']}: {refusal['sentence']}"
    )
    typer.echo(f"{verdict}; nothing was written")


def _cost(value: Fraction) -> str:
    return at_most_digits(float(value))


def _mode(accountant: Accountant) -> str:
    """The ledger's mode; the order of a mixed one is what plans for it are calibrated at."""
    return f"mixed at Renyi order {accountant.order}" if isinstance(accountant, MixedAccountant) else accountant.mode
