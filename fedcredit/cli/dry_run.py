"""``fedcredit institution dry-run``: what a plan would make this institution send, worked out and thrown away.

Nothing that is printed depends on a record, but for the time that it took, which is rounded, and for the numbers that
``--values`` asks for. Where a plan has no masks, these have nothing but the plan's noise on them, and each run is one
more noisy look that no ledger counts: they are for the operator's eyes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from fedcredit.custodian.approvals import Approvals
from fedcredit.custodian.dry_run import Rehearsed, dry_run, ledger_copy, would_refuse
from fedcredit.custodian.jobs_folder import JobsFolder, jobs_folder_of
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file
from fedcredit.errors import ConfigError, RefusalError
from fedcredit.outbox.fields import fields_of, first_words
from fedcredit.outbox.meanings import FIELDS, MESSAGES
from fedcredit.outbox.stored import epsilon_of
from fedcredit.outbox.vectors import vector_in_words
from fedcredit.plan import Plan, parse_plan, plan_digest
from fedcredit.privacy.accounting import Accountant
from fedcredit.privacy.events import write_fraction
from fedcredit.privacy.ledger_entries import Account
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.privacy.printed import at_most, at_most_digits
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Contribution, Refusal

_SHORTEST_HASH = 8
STAND_IN = (
    "public stand-ins take the place of the others' sums: after preflight the declared sizes of all members, spread "
    "evenly over cells and classes; after a training round sums of zero"
)
DISCARDED = (
    "every message was signed with a key, masked with peers and noised under a key made for this run alone, and all of "
    "it is gone: nothing was sent, charged, reserved or kept"
)
LOOK = (
    "the numbers are noisy looks at this institution's own records that no ledger counts; show them to nobody and keep "
    "no copy"
)
PADS = "the numbers are masked under keys that nobody has any more, hence random words"


@dataclass(frozen=True, slots=True)
class Shown:
    """One message of the run, what its vector holds if it has one, and its cost."""

    message: Rehearsed
    vector: str | None
    cost: Fraction
    epsilon: float | None
    epsilon_so_far: float | None


def rehearse_plan(
    site: Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)],
    plan: Annotated[
        str,
        typer.Argument(
            help="A plan's file as its coordinator made it, or the beginning of its hash, see 'fedcredit jobs list'.",
            show_default=False,
        ),
    ],
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Also the first few noised numbers of each vector; for your eyes only.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Run every phase of a plan against the real records, say what would leave, and throw it away."""
    file = load_site_file(site)
    public_key = SigningKey.load(file.identity_key).public
    with ledger_copy(file.ledger, public_key) as ledger:
        data = _plan_bytes(file, public_key, ledger, plan)
        account, parsed, own = ledger.account, parse_plan(data), load_site(file)
        refusal = would_refuse(own, ledger, data)
    shown = [] if refusal is not None else list(_shown(own, account, parsed))
    refusal = refusal or _last_refusal(shown)
    if as_json:
        typer.echo(canonical_json(_to_json(parsed, account.accountant, own, shown, refusal, values=values)))
    else:
        for line in _said(own, parsed, account, shown, values=values):
            typer.echo(line)
    if refusal is not None:
        raise RefusalError(refusal.code, f"this site would refuse the plan, {refusal.code}: {refusal}")


def _plan_bytes(file: SiteFile, public_key: bytes, ledger: LedgerReader, plan: str) -> bytes:
    path = Path(plan)
    if path.is_file():
        return path.read_bytes()
    folder = JobsFolder(jobs_folder_of(file.ledger))
    approvals = Approvals(folder, file.institution, ledger.account.population, public_key)
    known = {plan_hash: job.plan for plan_hash, job in ledger.open_jobs().items()}
    known |= {plan_hash: kept for plan_hash in approvals.waiting() if (kept := approvals.plan(plan_hash)) is not None}
    found = [data for plan_hash, data in known.items() if plan_hash.hex().startswith(plan.lower())]
    if len(plan) < _SHORTEST_HASH or len(found) != 1:
        raise ConfigError(
            f"{plan!r} is no file, and {len(found)} waiting or open plans begin so; give a plan's file, or "
            f"{_SHORTEST_HASH} digits or more of one hash, see 'fedcredit jobs list'."
        )
    return found[0]


def _shown(site: Site, account: Account, plan: Plan) -> Iterator[Shown]:
    accountant, total = account.accountant, Fraction(0)
    for one in dry_run(site, account, plan):
        cost, vector = Fraction(0), None
        if isinstance(one.message, Contribution):
            role, members = one.message.role, len(plan.members)
            cost = accountant.cost(mechanism(plan, site.kind, role))
            vector = vector_in_words(plan, role, members, own_noise_variance(plan, site.kind, role, members))
        total += cost
        epsilons = (epsilon_of(accountant, part, plan.privacy.delta) for part in (cost, total))
        yield Shown(one, vector, cost, *epsilons)


def _last_refusal(shown: Sequence[Shown]) -> RefusalError | None:
    last = shown[-1].message.message if shown else None
    return RefusalError(last.code, last.text) if isinstance(last, Refusal) else None


def _said(site: Site, plan: Plan, account: Account, shown: Sequence[Shown], *, values: bool) -> Iterator[str]:
    yield f"plan {plan_digest(plan.to_bytes()).hex()[:16]}: job {plan.job} of {plan.coordinator}"
    if not shown:
        return
    _print_table(shown)
    yield from _in_words(shown)
    if values:
        yield from _values(shown, PADS if plan.privacy.masks else LOOK)
    yield ""
    yield _cost_line(site, plan, account)
    if isinstance(site.policy, Policy) and site.policy.approval is Approval.MANUAL:
        yield "a real join would wait for an operator's approval: 'fedcredit jobs'"
    yield STAND_IN
    yield DISCARDED


def _print_table(shown: Sequence[Shown]) -> None:
    table = Table(
        "phase",
        "message",
        Column("bytes", justify="right"),
        Column("cost", justify="right"),
        Column("epsilon", justify="right"),
        Column("so far", justify="right"),
        Column("seconds", justify="right"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for one in shown:
        table.add_row(*_row(one))
    Console().print(table)


def _row(one: Shown) -> list[str]:
    done = one.message
    charged = bool(one.cost)
    return [
        f"{done.phase} {done.round}" if done.round else done.phase,
        type(done.message).__name__,
        str(done.size),
        at_most_digits(float(one.cost)) if charged else "",
        _number(one.epsilon) if charged else "",
        _number(one.epsilon_so_far) if charged else "",
        f"{done.seconds:.1f}",
    ]


def _in_words(shown: Sequence[Shown]) -> Iterator[str]:
    """What each kind of message holds, once; values would be those of a made-up job."""
    yield ""
    yield f"every message travels in an envelope: {MESSAGES['Envelope']}"
    for name, meaning in FIELDS["Envelope"].items():
        yield f"  {name}: {meaning}"
    told: set[str] = set()
    for one in shown:
        done, kind = one.message, type(one.message.message).__name__
        if done.phase in told:
            continue
        yield ""
        yield f"{done.phase}, {done.size} bytes: {MESSAGES[kind]}"
        # All contributions have the same fields, so that those of later phases differ in their vector alone.
        fields = FIELDS[kind] if kind not in told else {"vector": ""}
        for name, meaning in fields.items():
            yield f"  {name}: {one.vector if name == 'vector' else meaning}"
        told |= {done.phase, kind}


def _values(shown: Sequence[Shown], warning: str) -> Iterator[str]:
    yield ""
    yield warning
    for one in shown:
        if words := first_words(one.message.message):
            yield f"  {one.message.phase} {one.message.round}: {', '.join(map(str, words))}, …"


def _cost_line(site: Site, plan: Plan, account: Account) -> str:
    accountant, delta = account.accountant, plan.privacy.delta
    planned = epsilon_of(accountant, planned_cost(plan, site.kind, accountant), delta)
    return f"joining would set aside epsilon {_number(planned)} at delta {delta}, the reserve for retries among it"


def _to_json(
    plan: Plan,
    accountant: Accountant,
    site: Site,
    shown: Sequence[Shown],
    refusal: RefusalError | None,
    *,
    values: bool,
) -> dict[str, Any]:
    planned = (
        None if not shown else epsilon_of(accountant, planned_cost(plan, site.kind, accountant), plan.privacy.delta)
    )
    return {
        "plan_hash": plan.digest().hex(),
        "job": plan.job,
        "refused": None if refusal is None else {"code": refusal.code, "sentence": str(refusal)},
        "messages": [_message_json(one, values=values) for one in shown],
        "epsilon_planned": planned,
        "delta": plan.privacy.delta,
        "stand_in": STAND_IN,
    }


def _message_json(one: Shown, *, values: bool) -> dict[str, Any]:
    done = one.message
    document: dict[str, Any] = {
        "phase": done.phase,
        "round": done.round,
        "message": type(done.message).__name__,
        "bytes": done.size,
        "fields": {field.name: field.meaning for field in fields_of(done.envelope, done.message, one.vector)},
        "cost": write_fraction(one.cost),
        "epsilon": one.epsilon,
        "epsilon_so_far": one.epsilon_so_far,
        "seconds": round(done.seconds, 1),
    }
    return document | ({"first_values": first_words(done.message)} if values else {})


def _number(epsilon: float | None) -> str:
    return "-" if epsilon is None else at_most(epsilon)
