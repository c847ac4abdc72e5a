"""``fedcredit review``: the decisions that wait for a person, and that person's word beside the machine's."""

import json
import os
import pwd
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.printable import printable
from fedcredit.provisioning.new_files import write_file
from fedcredit.review.cases import decision_of, verified_decisions, waiting, why_waiting
from fedcredit.review.history import History, Review, append, read_history
from fedcredit.review.review_file import ReviewFile, load_review_file
from fedcredit.scoring.decisions import Decision

app = typer.Typer(no_args_is_help=True, help="Decisions near the cut-off or with odd input: a person decides.")

FileArgument = Annotated[Path, typer.Argument(metavar="REVIEW", help="REVIEW.yaml.", show_default=False)]
IdArgument = Annotated[str, typer.Argument(metavar="DECISION", help="Id of the decision.", show_default=False)]
ReviewerOption = Annotated[str, typer.Option(help="Your id, as your institution knows you.", show_default=False)]


class Verdict(StrEnum):
    """What a person decides."""

    APPROVE = "approve"
    DECLINE = "decline"


@app.command("list")
def list_waiting(
    file: FileArgument,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For a machine, without a limit.")] = False,
) -> None:
    """Decisions that wait for a person, oldest first, and how many were overridden so far."""
    review = load_review_file(file)
    history = read_history(review.reviews)
    left = _left(review, history)
    if as_json:
        for decision in left:
            typer.echo(json.dumps(_case(decision, review)))
        return
    # Whole at any width: the other commands ask for it, and those of one run begin alike.
    whole = Column("decision", no_wrap=True)
    table = Table(whole, "at (UTC)", "points", "cut-off", "machine", "why", box=None)
    for decision in islice(left, limit):
        why = "; ".join(why_waiting(decision, review.rule))
        cells = (
            decision.decision_id,
            decision.at[:19].replace("T", " "),
            str(decision.points),
            "-" if decision.cut_off is None else str(decision.cut_off),
        )
        table.add_row(*map(escape, (*cells, decision.verdict or "-", why)))
    Console().print(table)
    more = sum(1 for _ in left)
    decided = history.in_force().values()
    overridden = sum(one.is_override for one in decided)
    typer.echo(
        f"{table.row_count + more} wait; {len(decided)} were decided by a person, {overridden} against the machine"
    )


@app.command()
def show(file: FileArgument, decision: IdArgument) -> None:
    """One decision: points, reasons, flags, and everything that people said of it."""
    review = load_review_file(file)
    found = decision_of(review.decisions, decision)
    typer.echo("\n".join(map(printable, _in_words(found, review, read_history(review.reviews)))))


@app.command()
def decide(
    file: FileArgument,
    decision: IdArgument,
    verdict: Annotated[Verdict, typer.Argument(help="What you decide.", show_default=False)],
    *,
    reviewer: ReviewerOption,
    reason: Annotated[str, typer.Option(help="Why; needed where you override the machine or a person.")] = "",
) -> None:
    """Decide a case; the machine's verdict and yours are both kept."""
    review = load_review_file(file)
    found = decision_of(review.decisions, decision)

    def write(history: History) -> Review:
        _require_reason(found, history.in_force().get(decision), verdict.value, reason)
        return _review(review, found, reviewer, verdict.value, reason)

    said = append(review.reviews, write)
    typer.echo(f"{decision}: {verdict.value}" + (" (overrides the machine)" if said.is_override else ""))


@app.command()
def annotate(
    file: FileArgument,
    decision: IdArgument,
    *,
    reviewer: ReviewerOption,
    note: Annotated[str, typer.Option(help="What shall stand beside the decision.", show_default=False)],
) -> None:
    """Write a note beside a decision without deciding it."""
    if not note.strip():
        raise ConfigError("the note is empty; write a sentence.")
    review = load_review_file(file)
    said = _review(review, decision_of(review.decisions, decision), reviewer, None, note)
    append(review.reviews, lambda _history: said)
    typer.echo(f"noted beside {decision}")


@app.command()
def export(
    file: FileArgument,
    *,
    out: Annotated[Path, typer.Option(help="A new file: one JSON document a line.", show_default=False)],
) -> None:
    """Write the whole history, after checking its chain, for whoever audits it."""
    history = read_history(load_review_file(file).reviews)
    lines = (json.dumps({**one.values(), "override": one.is_override}) + "\n" for one in history.reviews)
    write_file(out, "".join(lines).encode())
    typer.echo(f"wrote {len(history.reviews)} reviews to {out}; newest hash {history.head.hex()}")


@app.command()
def verify(
    file: FileArgument,
    *,
    head: Annotated[list[str] | None, typer.Option(help="Hash that this command printed earlier.")] = None,
) -> None:
    """Check every row of the decision log and of the reviews, and print the newest hash of both."""
    review = load_review_file(file)
    decisions, reviews = verified_decisions(review.decisions, head or ()), read_history(review.reviews)
    missing = [one for one in head or () if one not in decisions.found and one not in reviews.hashes]
    if missing:
        raise LedgerError(
            f"neither file has the row {missing[0]:.80}: one was cut back or written anew, or is another."
        )
    typer.echo(f"{decisions.end.number} decisions, all hold; newest {decisions.end.hash or 'none yet'}")
    newest = reviews.head.hex() if reviews.reviews else "none yet"
    typer.echo(f"{len(reviews.reviews)} reviews, all hold; newest {newest}")
    typer.echo("write both down elsewhere: with --head they show that nothing was cut off or rewritten later")


def _left(review: ReviewFile, history: History) -> Iterator[Decision]:
    decided = history.in_force()
    return (one for one in waiting(review.decisions, review.rule) if one.decision_id not in decided)


def _require_reason(found: Decision, earlier: Review | None, verdict: str, reason: str) -> None:
    """Whoever says otherwise than the machine, or than the last person, says why."""
    said = {"the machine": found.verdict, **({} if earlier is None else {earlier.reviewer: earlier.person})}
    others = [f"{who} said {what or 'nothing'}" for who, what in said.items() if what != verdict]
    if others and not reason.strip():
        raise ConfigError(f"{' and '.join(others)}, you say {verdict}; give a --reason.")


def _review(review: ReviewFile, found: Decision, reviewer: str, person: str | None, reason: str) -> Review:
    if not reviewer.strip() or not reviewer.isprintable():
        raise ConfigError(f"--reviewer {reviewer!r} is no id; give the one under which your institution knows you.")
    return Review(
        at=datetime.now(UTC).isoformat(),
        decision_id=found.decision_id,
        reviewer=reviewer.strip(),
        account=_account(),
        machine=found.verdict,
        person=person,
        reason=reason.strip(),
        why=why_waiting(found, review.rule),
    )


def _account() -> str:
    """The operating system's name of who runs this; never from the environment, which anybody can set."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _case(decision: Decision, review: ReviewFile) -> dict[str, object]:
    return {
        "decision_id": decision.decision_id,
        "at": decision.at,
        "pd": decision.pd,
        "points": decision.points,
        "cut_off": decision.cut_off,
        "machine": decision.verdict,
        "flags": list(decision.flags),
        "why": list(why_waiting(decision, review.rule)),
    }


def _in_words(decision: Decision, review: ReviewFile, history: History) -> Iterator[str]:
    cut_off = "no cut-off" if decision.cut_off is None else f"cut-off {decision.cut_off}"
    yield f"{decision.decision_id} at {decision.at}: {decision.points} points, {cut_off}, PD {decision.pd:.4f}"
    yield f"machine: {decision.verdict or 'no verdict'}; package {decision.package_hash}"
    yield f"waits because: {'; '.join(why_waiting(decision, review.rule)) or 'it does not'}"
    for reason in decision.reasons:
        yield f"  reason: {reason['text']} ({reason['points_lost']} points lost)"
    for flag in decision.flags:
        yield f"  flag: {flag}"
    for one in history.of(decision.decision_id):
        yield f"  {one.at[:19]}  {one.reviewer} ({one.account}): {one.person or 'note'}. {one.reason}"
