"""A terminal view of a running job, from its folder: nothing of the coordinator's process is touched.

It shows the phase, the round, who is waited for and why, the plan's ε, the traffic and what was refused. What an
institution has left of its own budget is not known here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedcredit.errors import ConfigError
from fedcredit.job.store import Outcome, decided_steps
from fedcredit.plan import Plan, parse_plan
from fedcredit.privacy.printed import at_most_digits
from server.job_status import Awaited, JobStatus, read_status

LOOK_EVERY_S = 1.0
# Longer than the coordinator's process leaves its news unwritten.
_STALE_S = 20.0
_STORE, _PLAN = "job.sqlite", "plan.json"
_UNITS = ((3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Sight:
    """What a job's folder shows at one moment.

    Attributes
    ----------
    decided
        How many steps are done.
    repeated
        How many attempts were given up.
    status
        The coordinator's news, or None before it began.
    """

    plan: Plan
    decided: int
    repeated: int
    status: JobStatus | None
    now: datetime


def watch(job_folder: Path, console: Console, *, once: bool, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show a job until it is done; as lines where the console is no terminal that can redraw.

    Parameters
    ----------
    job_folder
        Folder with the job's plan and store.
    once
        Show it as it is now, and return.

    Raises
    ------
    ConfigError, JobError
        If the folder holds no job, or its store cannot be read.
    """
    if once:
        console.print(frame(look(job_folder)))
    elif console.is_terminal and not console.is_dumb_terminal:
        _live(job_folder, console, sleep)
    else:
        _lines(job_folder, console, sleep)


def look(job_folder: Path) -> Sight:
    """Read what a job's folder shows now.

    Raises
    ------
    ConfigError
        If there is no plan.
    JobError
        If the store cannot be read.
    """
    try:
        plan = parse_plan((job_folder / _PLAN).read_bytes())
    except OSError as error:
        raise ConfigError(f"{job_folder} holds no {_PLAN} ({error.strerror}); name the folder of a job.") from error
    steps = decided_steps(job_folder / _STORE) if (job_folder / _STORE).exists() else []
    done = sum(outcome is Outcome.DONE for *_, outcome in steps)
    return Sight(plan, done, len(steps) - done, read_status(job_folder), datetime.now(UTC))


def frame(sight: Sight) -> Table:
    """The view, as rows of a name and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in rows(sight):
        table.add_row(name, Text(text))
    return table


def rows(sight: Sight) -> list[tuple[str, str]]:
    """The view's rows; a name that repeats is left blank."""
    out = [("job", f"{sight.plan.job}, plan {sight.plan.digest().hex()[:16]}"), ("privacy", _privacy(sight.plan))]
    status = sight.status
    if status is None:
        return [*out, ("phase", "not begun")]
    out.append(("phase", where(sight.plan, status)))
    out.append(("steps", _steps(sight, status)))
    out.append(("institutions", _institutions(sight.plan, status)))
    out += _titled("waiting for", [_waits(one, sight.now) for one in status.waiting])
    out += _titled("refused", [f"{name}: {text}" for name, text in status.refusals.items()])
    out.append(("traffic", f"{size(status.bytes_out)} out, {size(status.bytes_in)} in, {status.exchanges} exchanges"))
    return [*out, ("news", _news(sight, status))]


def where(plan: Plan, status: JobStatus) -> str:
    """Phase, round and attempt in words."""
    if status.state == "done":
        return "done"
    rounds = f" {status.round} of {plan.phases.train.rounds}" if status.phase == "train" else ""
    again = f", attempt {status.attempt}" if status.attempt > 1 else ""
    stopped = f"; stopped: {status.reason}" if status.state == "stopped" else ""
    return f"{status.phase}{rounds}{again}{stopped}"


def size(n_bytes: int) -> str:
    """Bytes, for people."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if n_bytes >= 1 << shift:
            return f"{n_bytes / (1 << shift):.1f} {unit}"
    return f"{n_bytes} bytes"


def duration(seconds: float) -> str:
    """Seconds, for people: in the largest unit that fits and the one below it."""
    left = max(0, round(seconds))
    large = next((index for index, (length, _) in enumerate(_UNITS) if left >= length), len(_UNITS) - 1)
    parts: list[str] = []
    for length, unit in _UNITS[large : large + 2]:
        if left >= length or not parts:
            parts.append(f"{left // length} {unit}")
        left %= length
    return " ".join(parts)


def _live(job_folder: Path, console: Console, sleep: Callable[[float], None]) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            sight = look(job_folder)
            live.update(frame(sight), refresh=True)
            if _over(sight):
                return
            sleep(LOOK_EVERY_S)


def _lines(job_folder: Path, console: Console, sleep: Callable[[float], None]) -> None:
    """One line whenever phase, round or those who are waited for are others than in the last."""
    told = ""
    while True:
        sight = look(job_folder)
        if (line := _line(sight)) != told:
            told = line
            console.print(Text(f"{sight.now:%H:%M:%S} {line}"), soft_wrap=True)
        if _over(sight):
            return
        sleep(LOOK_EVERY_S)


def _line(sight: Sight) -> str:
    if sight.status is None:
        return "not begun"
    waits = ", ".join(
        f"{one.institution} ({one.fault})" if one.fault else one.institution for one in sight.status.waiting
    )
    return where(sight.plan, sight.status) + (f": waiting for {waits}" if waits else "")


def _over(sight: Sight) -> bool:
    return sight.status is not None and sight.status.state == "done"


def _privacy(plan: Plan) -> str:
    terms = plan.privacy
    if terms.epsilon is None or terms.delta is None:
        return "none: what is released is not private"
    promised = f"epsilon {at_most_digits(terms.epsilon, 6)} at delta {at_most_digits(terms.delta, 6)}"
    return f"{promised} per {terms.unit.value}, noise {terms.placement.value}"


def _steps(sight: Sight, status: JobStatus) -> str:
    given_up = f", {sight.repeated} attempts given up" if sight.repeated else ""
    eta = "" if status.eta_s is None or status.state != "asking" else f", about {duration(status.eta_s)} to go"
    return f"{sight.decided} done, {status.steps_left} left{given_up}{eta}"


def _institutions(plan: Plan, status: JobStatus) -> str:
    gone = [name for name in plan.members if name not in status.members]
    return f"{len(status.members)} in the job" + (f"; left out: {', '.join(gone)}" if gone else "")


def _waits(one: Awaited, now: datetime) -> str:
    state = f"asked {one.asked} times" if one.asked > 1 else "asked" if one.asked else "not online"
    fault = f": {one.fault}" if one.fault else ""
    return f"{one.institution}, for {duration((now - one.since).total_seconds())}, {state}{fault}"


def _news(sight: Sight, status: JobStatus) -> str:
    age = (sight.now - status.written).total_seconds()
    silent = status.state == "asking" and age > _STALE_S
    return f"{duration(age)} old" + ("; the coordinator's process may have ended: look into its log" if silent else "")


def _titled(title: str, texts: list[str]) -> list[tuple[str, str]]:
    return [(title if index == 0 else "", text) for index, text in enumerate(texts)]
