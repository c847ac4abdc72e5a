"""``fedcredit sent``: every message that left this institution, decoded from its own ledger and audit trail.

It only reads, works while a custodian serves, and shows no secret: nothing of a key is in a message or beside it.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from fedcredit.audit.lines import Line
from fedcredit.audit.reading import check, lines_of
from fedcredit.audit.trail_file import set_aside, trail_of
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.errors import ConfigError
from fedcredit.outbox.fields import ShownField
from fedcredit.outbox.meanings import MESSAGES
from fedcredit.outbox.sent import Sent, sent_messages
from fedcredit.outbox.stored import StoredMessage, epsilon_of, stored_messages
from fedcredit.printable import printable
from fedcredit.privacy.accounting import Accountant, MixedAccountant
from fedcredit.privacy.events import write_fraction
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.printed import at_most, at_most_digits
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey

_SHORTEST_HASH = 8
_LINE_ONLY = "kept as a line and a hash only"


def sent(
    site: Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)],
    job: Annotated[str, typer.Argument(help="Only this job: its name, or the beginning of its plan hash.")] = "",
    *,
    show_fields: Annotated[bool, typer.Option("--fields", help="Every field with its meaning.")] = False,
    message: Annotated[int, typer.Option(help="Only the message of that number, with its fields.")] = 0,
    values: Annotated[
        bool,
        typer.Option("--values", help="Also the first few numbers of each vector, as they left."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List every message that left: when, to whom, what it holds and what it cost."""
    file = load_site_file(site)
    public_key = SigningKey.load(file.identity_key).public
    # The trail first: the ledger then holds whatever its lines name, however busy the custodian is.
    lines = _lines(file, public_key)
    with Ledger.read(file.ledger, public_key) as ledger:
        found, accountant = sent_messages(stored_messages(ledger), lines), ledger.account.accountant
    chosen = _chosen(found, job, message)
    totals = _totals(file, accountant, chosen)
    if as_json:
        shown = show_fields or bool(message)
        document = {"messages": [_to_json(one, fields=shown, values=values) for one in chosen], "totals": totals}
        typer.echo(canonical_json(document))
        return
    console = Console()
    console.print(_table(chosen, _unit(accountant)))
    for one in chosen if show_fields or message or values else ():
        for line in _in_words(one, fields=show_fields or bool(message), values=values):
            typer.echo(printable(line))
    if not lines:
        typer.echo("there is no audit trail here: times, destinations, joins and refusals are not known")
    typer.echo(_total_line(totals))


def _lines(file: SiteFile, public_key: bytes) -> list[Line]:
    path = trail_of(file.ledger)
    if not path.is_file() and not set_aside(path):
        return []
    check(path, public_key)
    return list(lines_of(path))


def _chosen(found: Sequence[Sent], job: str, number: int) -> list[Sent]:
    if number:
        if not 1 <= number <= len(found):
            raise ConfigError(f"message {number} is not in the list; there are {len(found)}, numbered from 1.")
        return [found[number - 1]]
    if not job:
        return list(found)
    named = {one.plan_hash for one in found if one.stored is not None and one.stored.plan.job == job}
    begins = job.lower() if len(job) >= _SHORTEST_HASH else None
    chosen = [
        one
        for one in found
        if one.plan_hash is not None and (one.plan_hash in named or (begins and one.plan_hash.startswith(begins)))
    ]
    if not chosen:
        raise ConfigError(
            f"no message of job {job!r}; give a job's name, or {_SHORTEST_HASH} digits or more of its plan hash, see "
            "'fedcredit ledger show'."
        )
    return chosen


def _table(chosen: Sequence[Sent], unit: str) -> Table:
    table = Table(
        Column("no", justify="right"),
        "time (UTC)",
        "to",
        "message",
        "place",
        Column("bytes", justify="right"),
        Column(unit, justify="right"),
        Column("epsilon so far", justify="right"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for one in chosen:
        table.add_row(*(escape(printable(cell)) for cell in _row(one)))
    return table


def _row(one: Sent) -> list[str]:
    stored = one.stored
    return [
        str(one.number),
        "not known" if one.at is None else one.at[:19].replace("T", " "),
        _destination(one),
        _what(one),
        " ".join(str(value) for value in (one.role, one.round, one.attempt) if value is not None),
        "hash only" if stored is None else str(stored.size),
        at_most_digits(float(stored.cost)) if stored is not None and one.charged and stored.cost else "",
        _epsilons(one, stored),
    ]


def _epsilons(one: Sent, stored: StoredMessage | None) -> str:
    if stored is None or not one.charged or not stored.cost:
        return ""
    return _number(stored.epsilon_so_far)


def _what(one: Sent) -> str:
    words = [one.kind.replace("_", " "), *([one.code] if one.code else [])]
    if one.count > 1:
        words = [f"{one.count} x", *words]
    return " ".join(words) + ("" if one.state.value == "sent" else f" ({one.state.value})")


def _destination(one: Sent) -> str:
    if one.to is None:
        return "-" if one.stored is not None else "a stranger"
    return one.to if one.proved else f"{one.to}, not proved"


def _in_words(one: Sent, *, fields: bool, values: bool) -> Iterator[str]:
    job = "" if one.plan_hash is None else f", job {one.plan_hash[:16]}"
    yield f"message {one.number}: {_what(one)}{job}"
    if one.stored is None:
        meaning = MESSAGES.get(_proto_name(one.kind))
        yield f"  {meaning}; {_LINE_ONLY}" if meaning is not None else f"  {_LINE_ONLY}"
        return
    yield f"  {MESSAGES[type(one.stored.message).__name__]}"
    for shown in one.stored.fields() if fields else ():
        yield f"  {shown.name}: {shown.value}"
        yield f"      {shown.meaning}"
    if one.stored.cost:
        yield (
            f"  cost {write_fraction(one.stored.cost)}: epsilon {_number(one.stored.epsilon)} by itself, "
            f"{_number(one.stored.epsilon_so_far)} with all messages of the job before it, at delta "
            f"{one.stored.plan.privacy.delta}"
        )
    if values and (words := one.stored.words()):
        yield f"  first numbers as they left: {', '.join(map(str, words))}, …"


def _totals(file: SiteFile, accountant: Accountant, chosen: Sequence[Sent]) -> dict[str, Any]:
    """Sums over the chosen messages; epsilons do not add up, costs do."""
    cost = sum((one.stored.cost for one in chosen if one.stored is not None and one.charged), Fraction(0))
    jobs = {one.stored.plan.privacy.delta for one in chosen if one.stored is not None}
    own = load_policy(file.policy).delta if file.policy is not None else None
    # Of one job, its own delta, as in its plan and receipt; of several, the policy's.
    delta = jobs.pop() if len(jobs) == 1 else own
    return {
        "messages": sum(one.count for one in chosen if one.left),
        "not_sent": sum(not one.left for one in chosen),
        "stored_bytes": sum(one.stored.size for one in chosen if one.left and one.stored is not None),
        "hash_only": sum(one.count for one in chosen if one.stored is None),
        "cost": write_fraction(cost),
        "unit": _unit(accountant),
        "epsilon": epsilon_of(accountant, cost, delta),
        "delta": delta,
    }


def _total_line(totals: dict[str, Any]) -> str:
    kept = f", {totals['not_sent']} more charged and not known to have left" if totals["not_sent"] else ""
    spent = f"epsilon {_number(totals['epsilon'])} spent at delta {totals['delta']}"
    return (
        f"in all {totals['messages']} messages{kept}: {totals['stored_bytes']} bytes in those that the ledger keeps "
        f"byte for byte, {totals['hash_only']} {_LINE_ONLY}; {spent}"
    )


def _to_json(one: Sent, *, fields: bool, values: bool) -> dict[str, Any]:
    names = ("number", "at", "to", "proved", "kind", "code", "plan_hash", "role", "round", "attempt", "count")
    document = {name: getattr(one, name) for name in names} | {"state": one.state.value, "bytes": None}
    stored = one.stored
    if stored is None:
        return document
    document |= {"bytes": stored.size, "job": stored.plan.job, "charged_here": one.charged}
    document |= {"cost": write_fraction(stored.cost), "delta": stored.plan.privacy.delta}
    document |= {"epsilon": stored.epsilon, "epsilon_so_far": stored.epsilon_so_far, "ledger_event": stored.event}
    if fields:
        document["fields"] = [_field(shown) for shown in stored.fields()]
    if values:
        document["first_values"] = stored.words()
    return document


def _field(shown: ShownField) -> dict[str, str]:
    return {"name": shown.name, "value": shown.value, "meaning": shown.meaning}


def _unit(accountant: Accountant) -> str:
    if isinstance(accountant, MixedAccountant):
        return f"cost (Renyi, order {accountant.order})"
    return "cost (mu^2)"


def _proto_name(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def _number(epsilon: float | None) -> str:
    return "-" if epsilon is None else at_most(epsilon)
