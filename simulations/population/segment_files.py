"""Figures by segment as JSON, CSV, and a table for the terminal; each says SYNTHETIC."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields

from rich import box
from rich.table import Table

from simulations.paired import Difference
from simulations.population.drawing import SYNTHETIC
from simulations.population.segments import REFERENCE_APPROVAL, SegmentFigures

_NOTE = (
    f"* trained without privacy. Let in: share at one bad rate of those let in, of their type together at "
    f"{REFERENCE_APPROVAL:.0%}; ratio: over the share of everybody outside of the segment. PD: mean of the "
    "model's, and of the true ones."
)


def segments_json(figures: Sequence[SegmentFigures]) -> str:
    """Everything, with what the columns mean."""
    rows = [asdict(one) for one in figures]
    return json.dumps({"synthetic": SYNTHETIC, "note": _NOTE, "figures": rows}, indent=2) + "\n"


def segments_csv(figures: Sequence[SegmentFigures]) -> str:
    """One line a model and segment; the last column says that nobody is real."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    names = [one.name for one in fields(SegmentFigures)]
    writer.writerow([*names, "data"])
    for one in figures:
        writer.writerow([*(_plain(getattr(one, name)) for name in names), "SYNTHETIC"])
    return target.getvalue()


def _plain(value: object) -> object:
    return value.value if isinstance(value, Difference) else value


def segments_table(figures: Sequence[SegmentFigures]) -> Table:
    """For the terminal: AUC, approval and calibration of each model by segment."""
    table = Table(
        title="SYNTHETIC customers by segment (exact, simulation only)",
        title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=_NOTE,
        caption_justify="left",
    )  # fmt: skip
    table.add_column("segment", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for heading in ("AUC", "let in", "ratio", "PD", "bad", "true"):
        table.add_column(heading, justify="right", no_wrap=True)
    for segment in dict.fromkeys(one.segment for one in figures):
        table.add_section()
        for index, one in enumerate(figure for figure in figures if figure.segment == segment):
            table.add_row((segment, f"{one.n:,} persons")[index] if index < 2 else "", one.model, *_cells(one))
    return table


def _cells(one: SegmentFigures) -> list[str]:
    return [
        "n/a" if one.auc is None else f"{one.auc:.4f}",
        f"{one.approval:.1%}",
        "" if one.approval_ratio is None else f"{one.approval_ratio:.3f}",
        f"{one.predicted:.1%}",
        f"{one.observed:.1%}",
        f"{one.true:.1%}",
    ]
