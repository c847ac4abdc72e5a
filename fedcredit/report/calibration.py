"""Part 5: whether predicted PDs come true, over all customers and per institution type."""

from dataclasses import dataclass

from fedcredit.evaluation.calibration import (
    CalibrationRow,
    calibration_table,
    expected_calibration_error,
    log_loss,
)
from fedcredit.evaluation.figure import Figure, of_estimate
from fedcredit.evaluation.intervals import brier_estimate
from fedcredit.evaluation.ratio import NOTHING
from fedcredit.evaluation.reliability import BrierParts, bad_share, brier_parts, gap, mean_pd, slope_figure
from fedcredit.evaluation.score_grid import ScoreGrid
from fedcredit.report.discrimination import Cells, overall_cells
from fedcredit.report.inputs import ReportInputs


@dataclass(frozen=True, slots=True)
class Reliability:
    """How true the PDs of some customers are.

    Attributes
    ----------
    in_the_large
        Observed minus mean predicted PD.
    ece
        Mean absolute gap over the table; noise and small rows push it up.
    """

    customers: str
    brier: Figure
    slope: Figure
    in_the_large: Figure
    bad_rate: Figure
    mean_pd: Figure
    log_loss: float | None
    ece: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The part; `why` says why there is nothing, or is None."""

    overall: Reliability | None
    kinds: tuple[Reliability, ...]
    table: tuple[CalibrationRow, ...]
    brier_parts: BrierParts | None
    why: str | None


def calibration_of(inputs: ReportInputs) -> Calibration:
    """Compute the part."""
    counts = inputs.counts
    if counts.grid is None:
        return Calibration(None, (), (), None, "phase evaluate did not run")
    everybody, by_type = overall_cells(counts), counts.groupings[0]
    overall = _reliability("all customers", everybody, counts.grid)
    why = overall.brier.why
    table = () if why else calibration_table(everybody.good, everybody.bad, counts.grid, everybody.noise_stddev)
    return Calibration(
        overall=overall,
        kinds=tuple(
            _reliability(f"{kind} customers", Cells(good, bad, float(noise)), counts.grid)
            for kind, (good, bad), noise in zip(by_type.groups, by_type.counts, by_type.noise_stddev, strict=True)
        ),
        table=table,
        brier_parts=brier_parts(table),
        why=why,
    )


def _reliability(customers: str, cells: Cells, grid: ScoreGrid) -> Reliability:
    good, bad, noise = cells.good, cells.bad, cells.noise_stddev
    brier = of_estimate(brier_estimate(good, bad, grid, noise), NOTHING)
    enough = brier.value is not None
    table = calibration_table(good, bad, grid, noise) if enough else ()
    return Reliability(
        customers=customers,
        brier=brier,
        slope=slope_figure(good, bad, grid, noise),
        in_the_large=gap(good, bad, grid, noise),
        bad_rate=bad_share(good, bad, noise),
        mean_pd=mean_pd(good, bad, grid, noise),
        log_loss=log_loss(good, bad, grid) if enough else None,
        ece=expected_calibration_error(table),
    )
