"""Part 6: what a cut-off decides, and what that earns under stated assumptions."""

from dataclasses import dataclass

from fedcredit.evaluation.decision import Decision, Economics, decide, nearest_edge, shown_edges
from fedcredit.report.discrimination import overall_cells
from fedcredit.report.inputs import ReportInputs


@dataclass(frozen=True, slots=True)
class CutOff:
    """One cut-off: the decision, and the least score that is approved, in points."""

    points: int
    chosen: bool
    decision: Decision


@dataclass(frozen=True, slots=True)
class Decisions:
    """The part.

    Attributes
    ----------
    economics
        Loss given default and margin, as assumed.
    break_even_pd
        PD at which an approval earns nothing under them.
    asked_pd, chosen_pd
        Cut-off asked for, and the bin edge nearest to it, at which part 8 judges groups.
    rows
        From the strictest cut-off to the most generous; one of them is the chosen one.
    """

    economics: Economics
    break_even_pd: float
    asked_pd: float
    chosen_pd: float | None
    scale: str
    rows: tuple[CutOff, ...]
    why: str | None


def decisions_of(inputs: ReportInputs) -> Decisions:
    """Compute the part."""
    assumed, grid = inputs.assumptions, inputs.counts.grid
    economics, scale = assumed.economics, assumed.scale
    if grid is None:
        why = "phase evaluate did not run"
        return Decisions(economics, economics.break_even_pd, assumed.cut_off, None, scale.sentence, (), why)
    cells, chosen = overall_cells(inputs.counts), nearest_edge(grid, assumed.cut_off)
    edges = sorted({*shown_edges(cells.good, cells.bad), chosen}) if cells.why is None else [chosen]
    rows = tuple(
        CutOff(
            points=round(scale.offset - scale.factor * grid.edges[edge] / grid.weight_scale),
            chosen=edge == chosen,
            decision=decide(cells.good, cells.bad, grid, edge, cells.noise_stddev, economics),
        )
        for edge in edges
    )
    at = next(row.decision.pd for row in rows if row.chosen)
    return Decisions(economics, economics.break_even_pd, assumed.cut_off, at, scale.sentence, rows, cells.why)
