"""``python -m simulations.population OUT [knob=value …]`` draws a SYNTHETIC population; ``--gates`` judges one."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from fedcredit.ending import run
from fedcredit.errors import ConfigError
from simulations.population.drawing import SYNTHETIC, draw
from simulations.population.files import write_population
from simulations.population.spec import PopulationSpec, parse_spec

_KNOBS = ", ".join(f"{one.name}={getattr(PopulationSpec(), one.name)}" for one in fields(PopulationSpec))


def main(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[OUT] [KNOB=VALUE]...", help="A new folder, and what to change.")
    ] = None,
    gates: Annotated[bool, typer.Option("--gates", help="Print the realism gates instead of writing files.")] = False,
) -> None:
    """Draw a SYNTHETIC population of bank customers and patients and write one table per institution.

    OUT is a new folder; --gates takes knobs only. Lists are separated by commas.
    """
    console = Console(highlight=False)
    if gates:
        _judge(console, words or [])
    else:
        _write(console, words or [])
    console.print(SYNTHETIC)


def _write(console: Console, words: list[str]) -> None:
    if not words or "=" in words[0]:
        raise ConfigError("the folder is missing; write python -m simulations.population OUT [knob=value …].")
    begun, spec = time.monotonic(), parse_spec(words[1:])
    console.print(f"drawing {spec.persons:,} persons, {spec.banks} banks, {spec.hospitals} hospitals …")
    written = write_population(draw(spec), Path(words[0]))
    console.print(f"{len(written)} files in {words[0]}, {time.monotonic() - begun:.1f} s")


def _judge(console: Console, words: list[str]) -> None:
    # Scikit-learn takes a second to load, and only the gates need it.
    from simulations.population.consortium import draw_consortium  # noqa: PLC0415
    from simulations.population.gates import run_gates  # noqa: PLC0415

    spec = parse_spec(words)
    console.print(f"drawing {spec.persons:,} persons and fitting three models …")
    table = Table(title="Realism gates", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, side in (
        ("gate", "left"),
        ("figure", "left"),
        ("value", "right"),
        ("band", "left"),
        ("verdict", "left"),
    ):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for gate in run_gates(draw_consortium(spec)):
        band = "reported" if gate.low is None else f"{gate.low:g} to {gate.high:g}"
        verdict = {True: "holds", False: "FAILS", None: ""}[gate.holds]
        table.add_row(gate.letter, gate.what, f"{gate.value:.3f}", band, verdict)
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=f"Knobs: {_KNOBS}. Examples: unit_mistakes=bank-1:debt_to_income:100 poisoned=bank-2.")(main)
    run(app)
