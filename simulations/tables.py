"""Tables for the terminal: plan summary, one line per phase, results per view, and sweeps.

Pure functions from plain values to rich renderables. A figure that does not exist prints as ``n/a`` with its
reason.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fedcredit.job.store import Decided, Outcome
from fedcredit.privacy.printed import at_most_digits
from fedcredit.privacy.statement import PrivacyStatement
from simulations.results import (
    InstitutionPlan,
    Metrics,
    ModelResult,
    PlanSummary,
    RunResult,
    SweepPoint,
)

Figure = Literal["auc", "ks", "brier"]
#: Heading and decimals of each figure, in the order of the tables.
FIGURES: dict[Figure, tuple[str, int]] = {"auc": ("AUC", 4), "ks": ("KS", 4), "brier": ("Brier", 4)}
MOST_PLAN_ROWS = 12
MOST_ALONE_ROWS = 6
_RELEASED = "Released estimate over all customers, each scored with its own type's columns"


def plan_table(plan: PlanSummary) -> Group:
    """Show what each institution brings and will spend, what ε becomes if others collude, and what the numbers mean.

    More than twelve institutions are shown as one row per type, each ε being the largest of the type.
    """
    rows = plan_groups(plan.institutions)
    spent = _table("Plan: what each institution will spend")
    spent.add_column("institution", no_wrap=True)
    spent.add_column("type")
    spent.add_column("rows", justify="right", no_wrap=True)
    spent.add_column("columns")
    spent.add_column(f"ε coord.+{plan.n_colluders}", justify="right", no_wrap=True)
    for name, members in rows:
        sizes = span([one.n_rows for one in members])
        gate = epsilon(largest(one.privacy.epsilon_t for one in members))
        spent.add_row(name, members[0].kind, sizes, block_columns(members[0]), gate)
    if not _is_noised(plan):
        return Group(spent, Text(_plan_words(plan)))
    return Group(spent, _colluders_table(plan, rows), Text(_plan_words(plan)))


def phase_line(phase: str, done: int, total: int, seconds: float, note: str = "") -> Text:
    """Show one phase in one line, to be redrawn while it runs.

    Parameters
    ----------
    phase
        Name of the phase.
    done, total
        Steps finished and planned.
    seconds
        Since the phase began.
    note
        Anything else, short.
    """
    finished = done >= total
    line = Text(f"{'done' if finished else '....':<6}", style="green" if finished else "yellow")
    line.append(f"{phase:<10}", style="bold")
    line.append(f" {done:>4}/{total:<4} {seconds:7.1f} s")
    if note:
        line.append(f"  {note}", style="dim")
    return line


def trouble_line(decided: Decided) -> Text:
    """Show an attempt that was given up, and what follows from it."""
    attempt = f"{decided.phase} {decided.round}, attempt {decided.attempt}"
    if decided.outcome is Outcome.ENDED:
        follows = "cannot be tried again; the job goes on with what there is"
    elif decided.rejoining:
        follows = f"given up; {', '.join(decided.rejoining)} must join again"
    else:
        follows = f"given up; the next attempt asks {len(decided.members)} institutions, charged from the reserve"
    return Text(f"{'again':<6}{attempt}: {follows}", style="yellow")


def results_table(result: RunResult) -> Group:
    """Show alone, same type, joint and pooled per view, then the released estimates."""
    table = _table("Results on the test records (exact, simulation only)")
    table.add_column("columns", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for heading in (*(heading for heading, _ in FIGURES.values()), "test rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    for view in views_of(result):
        table.add_section()
        for index, (label, cells) in enumerate(view_rows(result, view)):
            table.add_row(view if index == 0 else "", label, *cells)
    virtual = "" if result.virtual is None else "\n" + result.virtual.sentence()
    notes = ["* trained without privacy", *client_level_words(result), federated_sentence(result) + virtual]
    return Group(table, Text("\n".join(notes)))


def sweep_table(points: Sequence[SweepPoint]) -> Group:
    """Show the AUC of the joint model beside its rivals, mean ± standard deviation over seeds, per setting and view."""
    table = _table("Sweep: AUC on the test records, mean ± standard deviation over seeds")
    settings = list(dict.fromkeys(name for point in points for name in point.settings))
    for name in (*settings, "seeds"):
        table.add_column(name.replace(".", ".\n"), justify="right", no_wrap=True)
    table.add_column("columns", no_wrap=True)
    models = [name for name, read in _SWEEP_AUC.items() if _has_any(points, read)]
    for name in models:
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        shown = [point.settings.get(name, "") for name in settings]
        table.add_section()
        for view in views_of(point.runs[0]):
            cells = [mean_and_sd([_SWEEP_AUC[name](run, view) for run in point.runs]) for name in models]
            table.add_row(*shown, str(len(point.runs)), view, *cells)
    return Group(table, Text("* trained without privacy"))


def _has_any(points: Sequence[SweepPoint], read: Callable[[RunResult, str], float | None]) -> bool:
    return any(read(run, view) is not None for point in points for run in point.runs for view in views_of(run))


def views_of(result: RunResult) -> list[str]:
    """Return the views of the joint model; ``all`` alone where it has none."""
    return list(result.joint.by_view) or ["all"]


def view_rows(result: RunResult, view: str) -> list[tuple[str, list[str]]]:
    """Return label and cells (AUC, KS, Brier, test rows) of each model that has figures in a view."""
    rows = []
    by_name = {name: metrics for name, model in result.alone.items() if (metrics := _in_view(model, view))}
    alone = list(by_name.values())
    if alone:
        means = [_mean_figure(alone, name) for name in FIGURES]
        rows.append((f"alone*, mean of {len(alone)}", [*means, _sizes(alone)]))
    if 1 < len(alone) <= MOST_ALONE_ROWS:
        rows += [(f"alone*: {name}", _cells(metrics)) for name, metrics in by_name.items()]
    elif len(alone) > 1:
        rows.append(("alone*, min-max", [*(_range(alone, name) for name in FIGURES), ""]))
    whole = result.client_level.model if result.client_level else None
    for label, model in (
        ("same type", result.same_type),
        ("joint", result.joint),
        ("institutions†", whole),
        ("pooled*", result.pooled),
    ):
        if model is None:
            continue
        metrics = _in_view(model, view)
        if metrics and metrics.n_test:
            rows.append((label, _cells(metrics)))
    return rows


def _cells(metrics: Metrics) -> list[str]:
    return [*(_figure(metrics, name) for name in FIGURES), f"{metrics.n_test:,}"]


def federated_sentence(result: RunResult) -> str:
    """Say what the released histogram estimates, with its interval."""
    released = result.federated
    if released.auc is None or released.auc_low is None or released.auc_high is None:
        return f"{_RELEASED}: AUC n/a (too few good or bad cases for the noise)"
    parts = [f"AUC {released.auc:.3f} (95 % interval {released.auc_low:.3f} to {released.auc_high:.3f})"]
    parts += [
        f"{name} {value:.3f}" for name, value in (("KS", released.ks), ("Brier", released.brier)) if value is not None
    ]
    return f"{_RELEASED}: " + ", ".join(parts)


def client_level_words(result: RunResult) -> list[str]:
    """Say what the rival that hides whole institutions promises, and what it does not; nothing where it was not run."""
    if result.client_level is None:
        return []
    own = result.client_level.privacy
    words = (
        "† for contrast: protects whole institutions, not records (client-level differential privacy): "
        f"ε = {epsilon(own.epsilon_planned)}, δ = {epsilon(own.delta)}, unit: {own.unit}; a trusted server sees each "
        "institution's sums and adds one noise"
    )
    return [words]


def epsilon(value: float | None) -> str:
    """Print an ε or δ with three digits, rounded up; ``none`` where no guarantee is given."""
    return "none" if value is None else at_most_digits(value)


def mean_and_sd(values: Sequence[float | None]) -> str:
    """Print mean ± sample standard deviation; ``n/a`` if any value is missing."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return f"n/a ({len(values) - len(known)} of {len(values)} missing)"
    if len(known) == 1:
        return f"{known[0]:.4f}"
    return f"{statistics.fmean(known):.4f} ± {statistics.stdev(known):.4f}"


def plan_groups(institutions: Sequence[InstitutionPlan]) -> list[tuple[str, list[InstitutionPlan]]]:
    """Return the rows of a plan table: each institution, or each type once there are more than twelve."""
    if len(institutions) <= MOST_PLAN_ROWS:
        return [(one.institution, [one]) for one in institutions]
    by_kind: dict[str, list[InstitutionPlan]] = {}
    for one in institutions:
        by_kind.setdefault(one.kind, []).append(one)
    return [(f"{len(members)} institutions", members) for members in by_kind.values()]


def largest(epsilons: Iterable[float | None]) -> float | None:
    """Return the largest ε, or None if any is missing: a missing bound is the weakest one."""
    values = list(epsilons)
    return None if None in values else max(value for value in values if value is not None)


def span(sizes: Sequence[int]) -> str:
    """Print one size, or the smallest and largest."""
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def deltas_and_units(statements: Sequence[PrivacyStatement]) -> str:
    """Print δ, unit and adjacency, each once if all institutions share them."""
    deltas = ", ".join(dict.fromkeys(at_most_digits(s.delta, 6) for s in statements if s.delta is not None)) or "none"
    units = ", ".join(dict.fromkeys(statement.unit for statement in statements))
    return f"δ = {deltas}; unit: {units}; adjacency: all that one {units} contributes becomes zero."


def block_columns(plan: InstitutionPlan) -> str:
    """Print the columns per block, ``applicant 5, bank 12``."""
    return ", ".join(f"{block} {count}" for block, count in plan.columns.items())


def epsilons_if(statements: Sequence[PrivacyStatement]) -> list[str]:
    """Print the largest ε against each set of colluders, in the order of `colluder_headings`."""
    columns = (
        [one.epsilon_outsider for one in statements],
        [one.epsilon_t for one in statements],
        [one.epsilon_one_colludes for one in statements],
        [one.epsilon_half_collude for one in statements],
        [one.epsilon_all_others for one in statements],
    )
    return [epsilon(largest(column)) for column in columns]


def colluder_headings(n_colluders: int) -> tuple[str, ...]:
    """Name each set of colluders: nobody but the public, then the coordinator with ever more institutions."""
    return ("outsiders", f"coord.+{n_colluders} (t)", "coord.+1", "coord.+half", "coord.+all others")


def _colluders_table(plan: PlanSummary, rows: Sequence[tuple[str, list[InstitutionPlan]]]) -> Table:
    table = _table("What ε becomes if they collude")
    table.add_column("institution", no_wrap=True)
    for heading in colluder_headings(plan.n_colluders):
        table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for name, members in rows:
        label = name if len(members) == 1 else f"{name} ({members[0].kind})"
        table.add_row(label, *epsilons_if([one.privacy for one in members]))
    return table


def _is_noised(plan: PlanSummary) -> bool:
    return any(one.privacy.epsilon_planned is not None for one in plan.institutions)


def _plan_words(plan: PlanSummary) -> str:
    seen = f"The coordinator sees {plan.coordinator_sees}"
    if not _is_noised(plan):
        return "\n".join(("No noise: this run gives no privacy guarantee.", *plan.notes, seen))
    statements = [one.privacy for one in plan.institutions]
    words = (
        f"ε against: outsiders who see the model and sums; the coordinator with {plan.n_colluders} colluding "
        "institution(s), for which the noise is planned; with one; with half of the others; with all others. "
        f"{deltas_and_units(statements)}"
    )
    if any(statement.epsilon_outsider is None for statement in statements):
        words += " Outsiders: none is stated where single packets are not masked, or are made of local steps."
    return "\n".join((words, *plan.notes, seen))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _in_view(model: ModelResult, view: str) -> Metrics | None:
    return model.by_view.get(view) if model.by_view else model.overall


def _auc(model: ModelResult, view: str) -> float | None:
    metrics = _in_view(model, view)
    return metrics.auc if metrics is not None else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _figure(metrics: Metrics, name: Figure) -> str:
    value: float | None = getattr(metrics, name)
    if value is None:
        return "n/a (no test rows)" if metrics.n_test == 0 else "n/a (one class only)"
    return f"{value:.{FIGURES[name][1]}f}"


def _mean_figure(models: Sequence[Metrics], name: Figure) -> str:
    values = _known(models, name)
    if not values:
        return _figure(models[0], name)
    missing = f" ({len(models) - len(values)} n/a)" if len(values) < len(models) else ""
    return f"{statistics.fmean(values):.{FIGURES[name][1]}f}{missing}"


def _range(models: Sequence[Metrics], name: Figure) -> str:
    values = _known(models, name)
    return f"{min(values):.3f}-{max(values):.3f}" if values else ""


def _known(models: Sequence[Metrics], name: Figure) -> list[float]:
    return [value for model in models if (value := getattr(model, name)) is not None]


def _sizes(models: Sequence[Metrics]) -> str:
    return span([model.n_test for model in models])


_SWEEP_AUC: dict[str, Callable[[RunResult, str], float | None]] = {
    "joint": lambda run, view: _auc(run.joint, view),
    "same type": lambda run, view: _auc(run.same_type, view),
    "alone*": lambda run, view: _mean(_auc(model, view) for model in run.alone.values()),
    "pooled*": lambda run, view: _auc(run.pooled, view),
}
