"""The report of one run, read from the files that it has written."""

from collections.abc import Sequence
from pathlib import Path

from fedcredit.report.figures import figures_of
from fedcredit.report.inputs import Assumptions
from fedcredit.report.page import render_page
from fedcredit.report.reading import read_inputs
from fedcredit.report.report import report_of
from simulations.population.segment_drawings import segment_drawings
from simulations.population.segments import SegmentFigures


def write_page(run: Path, segments: Sequence[SegmentFigures]) -> None:
    """Write the page, its JSON and its drawings.

    Parameters
    ----------
    run
        The run folder, with everything else in it.
    segments
        Figures by segment of a drawn population; empty for a table.
    """
    report = report_of(read_inputs(run, Assumptions()))
    drawings = (*figures_of(report), *segment_drawings(segments))
    (run / "figures").mkdir()
    for drawing in drawings:
        (run / "figures" / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
    (run / "index.html").write_text(render_page(report, drawings), encoding="utf-8")
    (run / "report.json").write_text(report.to_text(), encoding="utf-8")
