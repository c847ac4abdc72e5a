"""``fedcredit custodian watch``: the institution's own side of its jobs, in a terminal, while the custodian serves.

It reads the ledger and the audit trail without a lock, and shows what no coordinator sees: the remaining budget.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fedcredit.audit.reading import lines_of
from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.own_figures import OwnFigures, OwnJob, own_figures
from fedcredit.custodian.policy import Policy, load_policy
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.errors import LedgerError
from fedcredit.printable import printable
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.printed import at_least, at_most, at_most_digits
from fedcredit.wire.envelope import SigningKey

_MOST_REFUSALS = 8
_SHOWN = ("refused", "failed")


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame shows: figures of the ledger, and the newest refusals of the trail, newest first."""

    figures: OwnFigures
    refusals: tuple[dict[str, Any], ...]


def watch(
    site: Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)],
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show open jobs, the budget and the last refusals; reads beside the custodian and changes nothing."""
    file = load_site_file(site)
    policy = None if file.policy is None else load_policy(file.policy)
    public_key = SigningKey.load(file.identity_key).public
    console = Console()
    if once:
        console.print(_drawn(file, read_frame(file, policy, public_key)))
        return
    with suppress(KeyboardInterrupt):
        _follow(file, lambda: _drawn(file, read_frame(file, policy, public_key)), console, every)


def _follow(file: SiteFile, draw: Callable[[], Group], console: Console, every_s: float) -> None:
    """Show each change; one frame below the other where the console cannot redraw."""
    redraws = console.is_terminal and not console.is_dumb_terminal
    with Live(console=console, auto_refresh=False) if redraws else nullcontext() as live:
        while True:
            # Before the files are read: what changes meanwhile is a change.
            seen = _signature(file)
            if live is None:
                console.print(draw())
            else:
                live.update(draw(), refresh=True)
            while _signature(file) == seen:
                time.sleep(every_s)


def read_frame(file: SiteFile, policy: Policy | None, public_key: bytes) -> Frame:
    """Read what a frame shows.

    Raises
    ------
    LedgerError
        If the ledger or the trail does not hold.
    """
    with Ledger.read(file.ledger, public_key) as ledger:
        figures = own_figures(ledger, file.kind, policy)
    return Frame(figures, _refusals(trail_of(file.ledger)))


def _refusals(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        lines = [line.values for line in lines_of(path)]
    except LedgerError:
        if path.exists():
            raise
        return ()  # the custodian was never served
    found = [values for values in lines if values.get("decision") in _SHOWN]
    return tuple(found[: -_MOST_REFUSALS - 1 : -1])


def _signature(file: SiteFile) -> tuple[tuple[int, int], ...]:
    """Size and time of every file that a frame is read from."""
    ledger = os.fspath(file.ledger)
    places = (file.ledger, Path(f"{ledger}-wal"), trail_of(file.ledger))
    return tuple((status.st_size, status.st_mtime_ns) for path in places if path.exists() and (status := path.stat()))


def _drawn(file: SiteFile, frame: Frame) -> Group:
    return Group(Text(f"{file.institution} ({file.kind})", style="bold"), *_budget(frame.figures), *_parts(frame))


def _parts(frame: Frame) -> list[Table | Text]:
    jobs: Table | Text = _jobs(frame.figures.jobs) if frame.figures.jobs else Text("no job is open")
    refusals: Table | Text = _refused(frame.refusals) if frame.refusals else Text("no refusal in the audit trail")
    return [jobs, refusals]


def _budget(figures: OwnFigures) -> list[Table | Text]:
    totals, sent = figures.totals, Text(f"{figures.bytes_sent:,} bytes sent in all")
    if totals.epsilon_budget is None:
        return [Text("no budget is kept for these data"), sent]
    title = f"epsilon at delta {at_most_digits(totals.delta or 0, 6)}; epsilons do not add up"
    table = Table(
        "spent",
        "spent or set aside",
        "budget",
        "left for one more job",
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    numbers = (figures.epsilon_spent, totals.epsilon_committed, totals.epsilon_budget)
    table.add_row(*map(_number, numbers), at_least(totals.epsilon_left or 0))
    return [table, sent]


def _jobs(jobs: tuple[OwnJob, ...]) -> Table:
    table = Table("open job", "plan", "last answered", "epsilon spent / reserved", "bytes sent", box=box.SIMPLE_HEAD)
    for job in jobs:
        place = "nothing yet" if job.phase is None else f"{job.phase} {job.round}"
        spent = f"{_number(job.spent.coordinator_and_t)} / {_number(job.reserved.coordinator_and_t)}"
        table.add_row(escape(printable(job.job)), job.plan_hash[:16], place, spent, f"{job.bytes_sent:,}")
    return table


def _refused(refusals: tuple[dict[str, Any], ...]) -> Table:
    table = Table("last refusals (UTC)", "what", "who", "plan", "code", box=box.SIMPLE_HEAD)
    for values in refusals:
        sender = str(values.get("sender") or "")
        who = sender if values.get("proved") else f"{sender}, not proved"
        cells = (
            str(values["at"])[:19].replace("T", " "),
            str(values.get("kind", "")).replace("_", " "),
            who,
            str(values.get("plan_hash", ""))[:16],
            str(values.get("code") or values.get("decision")),
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


def _number(epsilon: float | None) -> str:
    return "-" if epsilon is None else at_most(epsilon)
