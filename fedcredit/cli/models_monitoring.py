"""``fedcredit models compare | watch | monitor``: what was measured of models, and what follows from it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedcredit.errors import ConfigError
from fedcredit.evaluation.figure import Figure
from fedcredit.evaluation.recalibration import UNIT
from fedcredit.evaluation.stability import Stability
from fedcredit.monitoring.draft import monitor_plan_yaml
from fedcredit.monitoring.figures import Monitored
from fedcredit.monitoring.run import monitored, read_released, require_same_model, require_signed
from fedcredit.provisioning.new_files import write_file
from fedcredit.registry.comparison import compare as compared
from fedcredit.registry.registry import Model, Move, model_called, record, require_unchanged
from fedcredit.registry.registry_file import RegistryFile, load_registry_file
from fedcredit.registry.released_figures import figures_of
from fedcredit.registry.states import FROM, State
from fedcredit.registry.triggers import Triggered, triggered
from fedcredit.wire.envelope import SigningKey

_Registry = Annotated[Path, typer.Argument(metavar="REGISTRY", help="REGISTRY.yaml.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="For a machine.")]
_Figures = Annotated[
    Path | None, typer.Option(help="Its report.json or evaluation.json, if the model's place has no figures.")
]
_SUSPENDED = 3


def compare(
    registry: _Registry,
    champion: Annotated[str, typer.Argument(help="Name of the model in use.", show_default=False)],
    challenger: Annotated[str, typer.Argument(help="Name of the other one.", show_default=False)],
    *,
    champion_figures: _Figures = None,
    challenger_figures: _Figures = None,
    as_json: _Json = False,
) -> None:
    """Champion against challenger: differences of their released figures, with 95 % intervals."""
    file = load_registry_file(registry)
    given = ((champion, champion_figures), (challenger, challenger_figures))
    found = compared(*(_figures(model_called(file, name), own) for name, own in given))
    if as_json:
        rows = [{"figure": one.name, "delta": _values(one.delta), "verdict": one.verdict} for one in found]
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("figure", champion, challenger, "difference (95 %)", "sampling / noise", "better", box=None)
    for one in found:
        figures = (_words(figure) for figure in (one.champion, one.challenger, one.delta))
        table.add_row(one.name, *figures, _parts(one.delta), one.verdict)
    Console().print(table)


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the finished training run.")],
    *,
    job: Annotated[str, typer.Option(help="Name of the monitoring job; each job has its own.", show_default=False)],
    epsilon: Annotated[float | None, typer.Option(min=0, help="Of the whole job; as in training if left out.")] = None,
    store: Annotated[Path | None, typer.Option(help="The coordinator's job store, if it lies elsewhere.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write PLAN.yaml here instead of printing it.")] = None,
) -> None:
    """Write the PLAN.yaml of a job that watches a run's model over new records."""
    text = monitor_plan_yaml(run, job, epsilon, store)
    if out is None:
        typer.echo(text, nl=False)
        return
    write_file(out, text.encode())
    typer.echo(f"wrote {out}; the coordinator runs it like any other plan, and every institution is asked to join")


def monitor(
    registry: _Registry,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name in the registry.", show_default=False)],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the monitoring run.", show_default=False)],
    *,
    key: Annotated[Path | None, typer.Option(help="Your own key; with it a trigger suspends the model.")] = None,
    unproved: Annotated[bool, typer.Option("--unproved", help="Judge figures that no job store proves.")] = False,
    as_json: _Json = False,
) -> None:
    """Show what a monitoring run says of a model; exit code 3 if it has to be suspended, and with --key it is."""
    file = load_registry_file(registry)
    known = model_called(file, model)
    require_unchanged(known)
    new = read_released(run)
    figures = monitored(read_released(Path(known.path)), new, file.thresholds.cut_off_pd)
    # The training run's counts are half of every index: a coordinator could hide drift in them as well.
    signed = [require_signed(one) for one in (run, Path(known.path))]
    proved = all(signed) and require_same_model(Path(known.path), new)
    if not proved and not unproved:
        raise ConfigError(
            "a job store is missing beside a run, so a coordinator could have written any figures; put the store "
            "there, or say --unproved."
        )
    verdict = triggered(figures, file.thresholds)
    if as_json:
        said = {"figures": figures.to_json(), "reasons": verdict.reasons, "warnings": verdict.warnings}
        typer.echo(json.dumps(said, indent=1))
    else:
        _print(figures, verdict)
    if verdict.reasons:
        _suspend(file, known, figures, verdict, key)
        raise typer.Exit(_SUSPENDED)


def _suspend(file: RegistryFile, model: Model, figures: Monitored, verdict: Triggered, key: Path | None) -> None:
    state = model.standing.state
    if state not in FROM[State.SUSPENDED]:
        typer.echo(f"{model.name} is {state.value} already", err=True)
    elif key is None:
        typer.echo(f"{model.name} has to be suspended: run this again with --key", err=True)
    else:
        move = Move(model.name, State.SUSPENDED, "trigger: " + "; ".join(verdict.reasons), figures.to_json())
        record(file, SigningKey.load(key), move, datetime.now(UTC))
        typer.echo(f"{model.name} is suspended now", err=True)


def _print(figures: Monitored, verdict: Triggered) -> None:
    console, table = Console(), Table("figure", "value", "floor or 95 %", box=None)
    for name, drift in figures.scores.items():
        table.add_row(f"score of type {escape(name)}, PSI", *_drift_words(drift))
    for name, drift in figures.features.items():
        table.add_row(f"{escape(name)}, CSI", *_drift_words(drift))
    of_scores = {
        "calibration slope": figures.recalibration.slope,
        "calibration intercept": figures.recalibration.intercept,
        "observed minus predicted PD": figures.in_the_large,
    }
    ratios = {f"approval ratio, {name}": one for name, one in figures.approval_ratios.items()}
    for name, figure in {**of_scores, **ratios}.items():
        table.add_row(escape(name), *_words(figure).split(" ", 1))
    for kind, one in figures.proposals.items():
        table.add_row(
            f"proposed for type {escape(kind)}", f"{one.intercept / UNIT:+.3f}", f"+ {one.slope / UNIT:.3f} x logit"
        )
    console.print(table)
    for line in verdict.warnings:
        console.print(f"[yellow]warning[/yellow] {escape(line)}", soft_wrap=True)
    for line in verdict.reasons:
        console.print(f"[red]suspend[/red] {escape(line)}", soft_wrap=True)


def _drift_words(drift: Stability) -> tuple[str, str]:
    if drift.index is None or drift.floor is None:
        return "-", drift.why or ""
    return f"{drift.index:.4f}", f"floor {drift.floor:.4f} over {drift.bins} bins"


def _words(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return f"- {figure.why}"
    return f"{figure.value:.4f} {figure.low:.4f} to {figure.high:.4f}"


def _parts(figure: Figure) -> str:
    parts = figure.sampling_stddev, figure.noise_stddev
    return "-" if None in parts else " / ".join(f"{one:.4f}" for one in parts)


def _values(figure: Figure) -> dict[str, Any]:
    return asdict(figure)


def _figures(model: Model, given: Path | None) -> dict[str, Figure]:
    require_unchanged(model)
    return figures_of(Path(model.path), given)
