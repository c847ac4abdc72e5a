"""``python -m simulations.population OUT [knob=value …]``: draw a SYNTHETIC population into a folder."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedcredit.errors import FedcreditError
from simulations.population.drawing import SYNTHETIC, draw
from simulations.population.files import write_population
from simulations.population.spec import PopulationSpec, parse_spec

_KNOBS = ", ".join(f"{one.name}={getattr(PopulationSpec(), one.name)}" for one in fields(PopulationSpec))


def main(
    out: Annotated[Path, typer.Argument(help="New folder for the tables.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help=f"knob=value, lists by commas; defaults: {_KNOBS}. unit_mistakes=bank-1:income:12."),
    ] = None,
) -> None:
    """Draw a SYNTHETIC population of bank customers and patients and write one table per institution."""
    console = Console(highlight=False)
    begun = time.monotonic()
    try:
        spec = parse_spec(overrides or ())
        console.print(f"drawing {spec.persons:,} persons, {spec.banks} banks, {spec.hospitals} hospitals …")
        written = write_population(draw(spec), out)
    except FedcreditError as error:
        raise SystemExit(f"error: {error}") from error
    console.print(f"{len(written)} files in {out}, {time.monotonic() - begun:.1f} s")
    console.print(SYNTHETIC)


if __name__ == "__main__":
    typer.run(main)
