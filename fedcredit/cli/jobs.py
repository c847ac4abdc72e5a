"""``fedcredit jobs``: what coordinators ask of this institution, and an operator's yes or no.

Everything here works while the custodian serves: plans and decisions are files beside the ledger. Only the owner of
the identity key can decide.
"""

import hashlib
import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.custodian.approvals import Approvals, Decision
from fedcredit.custodian.group_labels import counted_groups
from fedcredit.custodian.guard_policy import regions_of
from fedcredit.custodian.jobs_folder import JobsFolder, jobs_folder_of
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.plan import Plan, parse_plan
from fedcredit.planning import accountant_for
from fedcredit.printable import printable
from fedcredit.privacy.accounting import Accountant, MixedAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_balance import balance
from fedcredit.privacy.printed import at_most, at_most_digits
from fedcredit.privacy.statement import planned_cost, statement
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Role

app = typer.Typer(no_args_is_help=True, help="See what is asked of this institution; approve or deny it.")

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
HashArgument = Annotated[
    str, typer.Argument(metavar="HASH", help="Beginning of the plan's hash, as 'list' prints it.", show_default=False)
]
_SHORTEST_HASH = 8
_LONGEST_SETTING = 200


@dataclass(frozen=True, slots=True)
class Listed:
    """One job on the console: its state, and its plan or, where that is gone, the decision about it."""

    plan_hash: bytes
    state: str
    plan: Plan | None
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says, by what it counts and at which delta; None if it cannot be read, or promises nothing."""

    open_jobs: Mapping[bytes, Plan]
    left: str
    accountant: Accountant | None = None
    delta: float | None = None


@app.command("list")
def list_jobs(site: SiteArgument) -> None:
    """List the jobs that wait for a decision, were approved or denied, or are open."""
    file = load_site_file(site)
    books = _books(file)
    found = _listed(file, books)
    for one in found:
        for line in _in_short(file, books, one):
            typer.echo(printable(line))
    if not found:
        typer.echo("no job waits, and none is open")
    typer.echo(books.left)


@app.command()
def show(site: SiteArgument, plan: HashArgument) -> None:
    """Show one plan in words: who asks, for what, with whom, at what cost, and of which columns."""
    file = load_site_file(site)
    books = _books(file)
    one = _one(_listed(file, books), plan)
    for line in _in_words(file, books, one):
        typer.echo(printable(line))


@app.command()
def approve(
    site: SiteArgument, plan: HashArgument, reason: Annotated[str, typer.Option(help="Why, for the record.")] = ""
) -> None:
    """Approve a waiting plan; the custodian lets it in when its coordinator asks again."""
    _decide(site, plan, approved=True, reason=reason)


@app.command()
def deny(
    site: SiteArgument, plan: HashArgument, reason: Annotated[str, typer.Option(help="Why, for the record.")]
) -> None:
    """Deny a plan, for good; a job that was let in already gets no further contribution."""
    _decide(site, plan, approved=False, reason=reason)


def _decide(site: Path, plan: str, *, approved: bool, reason: str) -> None:
    file = load_site_file(site)
    _require_manual(file)
    one, key = _one(_listed(file, _books(file)), plan), SigningKey.load(file.identity_key)
    asked = one.plan or one.decision
    if asked is None:
        raise ConfigError(f"the plan {one.plan_hash.hex()[:16]} is not kept here; see 'fedcredit jobs list'.")
    decision = Decision(
        institution=file.institution,
        population=file.population,
        plan_hash=one.plan_hash.hex(),
        job=asked.job,
        purpose=asked.purpose,
        coordinator=asked.coordinator,
        approved=approved,
        by=_account(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=printable(reason),
    )
    _approvals(file, key).decide(decision, key)
    word = "approved" if approved else "denied"
    typer.echo(f"{word} {decision.job} ({decision.plan_hash[:16]}) as {decision.by}, {decision.at}")


def _require_manual(file: SiteFile) -> None:
    """A decision that no custodian looks for would only look like one."""
    if file.policy is None or load_policy(file.policy).approval is not Approval.MANUAL:
        raise ConfigError(
            "this site's policy lets plans in by itself; write approval: manual and restart the custodian to decide."
        )


def _approvals(file: SiteFile, key: SigningKey) -> Approvals:
    return Approvals(JobsFolder(jobs_folder_of(file.ledger)), file.institution, file.population, key.public)


def _listed(file: SiteFile, books: Books) -> list[Listed]:
    """Waiting plans first, then open jobs, then what was decided about the others."""
    approvals = _approvals(file, SigningKey.load(file.identity_key))
    waiting = [Listed(plan_hash, "waiting", _kept(approvals, plan_hash), None) for plan_hash in approvals.waiting()]
    decided = []
    for plan_hash in sorted({*approvals.folder.hashes("approve"), *approvals.folder.hashes("deny")}):
        decision = approvals.decision(plan_hash)
        state = "approved" if decision is not None and decision.approved else "denied"
        plan = books.open_jobs.get(plan_hash) or _kept(approvals, plan_hash)
        state += ", open" if plan_hash in books.open_jobs else ""
        decided.append(Listed(plan_hash, state, plan, decision))
    known = {one.plan_hash for one in (*waiting, *decided)}
    others = [Listed(plan_hash, "open", plan, None) for plan_hash, plan in books.open_jobs.items()]
    return waiting + [one for one in others if one.plan_hash not in known] + decided


def _kept(approvals: Approvals, plan_hash: bytes) -> Plan | None:
    data = approvals.plan(plan_hash)
    return None if data is None else parse_plan(data)


def _books(file: SiteFile) -> Books:
    """Open jobs and what is spent, if there is a ledger to read."""
    try:
        with Ledger.read(file.ledger, SigningKey.load(file.identity_key).public) as ledger:
            account, committed = ledger.account, ledger.committed()
            plans = {plan_hash: parse_plan(job.plan) for plan_hash, job in ledger.open_jobs().items()}
    except LedgerError as error:
        return Books({}, f"open jobs and the budget are not shown: {error}")
    if file.policy is None:
        return Books(plans, "this site has no policy, hence no budget", account.accountant)
    policy = load_policy(file.policy)
    spent = at_most(balance(account, committed, policy.epsilon, policy.delta).epsilon_committed or 0, 4)
    left = f"spent or set aside: epsilon {spent} of {policy.epsilon} at delta {at_most_digits(policy.delta, 6)}"
    return Books(plans, left, account.accountant, policy.delta)


def _one(found: list[Listed], beginning: str) -> Listed:
    matching = [one for one in found if one.plan_hash.hex().startswith(beginning.lower())]
    if len(beginning) < _SHORTEST_HASH or len(matching) != 1:
        raise ConfigError(
            f"{len(matching)} plans begin with {beginning!r}; give {_SHORTEST_HASH} digits or more of one hash, see "
            "'fedcredit jobs list'."
        )
    return matching[0]


def _in_short(file: SiteFile, books: Books, one: Listed) -> Iterator[str]:
    asked = one.plan or one.decision
    if asked is None:
        yield f"{one.plan_hash.hex()[:16]}  {one.state}"
        return
    yield f"{one.plan_hash.hex()[:16]}  {one.state}: job {asked.job} of {asked.coordinator}, for: {asked.purpose}"
    if one.plan is not None:
        # At the budget's own delta: at a larger one of the plan's it would look like less.
        cost = _epsilon(file, books, one.plan, books.delta or one.plan.privacy.delta)
        yield f"  {', '.join(one.plan.members)}; epsilon {cost} of this {file.kind}'s budget"


def _epsilon(file: SiteFile, books: Books, plan: Plan, delta: float | None) -> str:
    """What the plan would cost an institution of this type, at a delta.

    A mixed ledger counts every plan at its one order, also those that other ledgers count exactly.
    """
    if plan.privacy.delta is None or delta is None:
        return "none"
    accountant = _accountant(books, plan)
    return at_most(accountant.epsilon(planned_cost(plan, file.kind, accountant), delta) or 0, 4)


def _against(file: SiteFile, books: Books, plan: Plan) -> str:
    """The planned epsilon against each observer: what shared noise is worth depends on who colludes."""
    accountant = _accountant(books, plan)
    cost = planned_cost(plan, file.kind, accountant)
    found = statement(plan, file.kind, accountant, cost, cost)
    told = {
        "outsiders": found.epsilon_outsider,
        f"the coordinator with {plan.privacy.colluders} of the others": found.epsilon_t,
        "with half of them": found.epsilon_half_collude,
        "with all of them": found.epsilon_all_others,
    }
    return ", ".join(f"{whom} {'not stated' if one is None else at_most(one, 4)}" for whom, one in told.items())


def _accountant(books: Books, plan: Plan) -> Accountant:
    if isinstance(books.accountant, MixedAccountant):
        return books.accountant
    return accountant_for(plan.privacy, plan.phases.train.sampling_rate)


def _in_words(file: SiteFile, books: Books, one: Listed) -> Iterator[str]:
    yield f"plan {one.plan_hash.hex()}: {one.state}"
    if one.decision is not None:
        words = f"decided by {one.decision.by} at {one.decision.at}"
        yield words + (f": {one.decision.reason}" if one.decision.reason else "")
    if one.plan is None:
        yield "the plan itself is not kept any more; after a job was joined, the ledger holds it"
        return
    plan, terms = one.plan, one.plan.privacy
    yield f"job {plan.job}, for: {plan.purpose}"
    where = plan.coordinator_region or "a region that it does not state"
    yield f"coordinator {plan.coordinator}, running in {where}, key {plan.coordinator_key}"
    yield f"roster version {plan.roster.version}, valid to {plan.roster.expires}, hash {plan.roster.digest().hex()}"
    for member in plan.roster.members:
        yield f"  member {member.id}: {member.kind}, {member.region}, {member.public_size} records"
    yield f"regions of members and coordinator: {', '.join(regions_of(plan))}"
    rounds = ", ".join(f"{plan.phases.of(role).rounds} of {role.name.lower()}" for role in Role)
    yield f"model {plan.model.family}; messages: {rounds}, each at most {terms.max_attempts} times"
    # Among them the file and arguments of an own module, and the steps that one message is made of.
    yield "  " + ", ".join(f"{name}={_short(value)}" for name, value in plan.model.model_dump(mode="json").items())
    yield (
        f"privacy: {terms.placement.value} noise, masks {'on' if terms.masks else 'off'}, {terms.colluders} colluders "
        f"assumed, at most {terms.max_drops} members left out, unit {terms.unit.value}"
    )
    cost = _epsilon(file, books, plan, terms.delta)
    yield f"cost to this institution: epsilon {cost} of {terms.epsilon} planned, delta {terms.delta}"
    if terms.delta is not None:
        yield f"  epsilon against {_against(file, books, plan)}; all that one {terms.unit.value} adds becomes zero"
    yield from _columns(file, plan)


def _columns(file: SiteFile, plan: Plan) -> Iterator[str]:
    dictionary = load_dictionary(file.dictionary)
    if dictionary.digest().hex() != plan.dictionary:
        yield "its data dictionary is another one than this site's; its columns cannot be shown"
        return
    for feature in dictionary.owned_features(file.kind):
        yield f"  column {feature.name} ({feature.data_class}): {feature.purpose}; basis: {feature.basis}"
    for group in counted_groups(dictionary, file.kind, plan):
        yield f"  group label {group.name} ({group.data_class}): {group.purpose}, counted; basis: {group.basis}"


def _short(value: object) -> str:
    """A setting in a line; a whole model's bytes by their number and hash."""
    text = str(value)
    if len(text) <= _LONGEST_SETTING:
        return text
    return f"({len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()})"


def _account() -> str:
    """The operating system's name of who runs this; never from the environment, which anybody can set."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
