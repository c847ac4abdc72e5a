"""What a cut-off decides: approval and bad rates, errors of both kinds, expected profit, at the edges of score bins.

Applicants below a bin edge are approved, those at or above it are declined. At an edge all counts are exact but for
the noise. Four sums say everything: goods and bads, approved and declined.

Expected profit is per applicant and in parts of the exposure: an approved good earns the margin, an approved bad
loses the loss given default. Its break-even PD is margin / (margin + loss given default).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.evaluation.discrimination import shares_up_to
from fedcredit.evaluation.figure import Figure, within
from fedcredit.evaluation.ratio import ratio
from fedcredit.evaluation.score_grid import ScoreGrid, sigmoid

Floats = NDArray[np.float64]
# Cells: good approved, good declined, bad approved, bad declined.
_ALL, _APPROVED = np.ones(4), np.array([1.0, 0.0, 1.0, 0.0])
_GOOD, _BAD = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Economics:
    """What a decision earns and costs, in parts of the exposure.

    Attributes
    ----------
    loss_given_default
        Lost on an approved bad, in (0, 1].
    margin
        Earned on an approved good over the outcome's window, in (0, 1].
    """

    loss_given_default: float = 0.45
    margin: float = 0.10

    def __post_init__(self) -> None:
        for name, value in (("loss given default", self.loss_given_default), ("margin", self.margin)):
            if not 0 < value <= 1:
                raise ConfigError(f"the {name} must lie above 0 and at most at 1, got {value}; it is a share.")

    @property
    def break_even_pd(self) -> float:
        """PD at which an approval earns nothing."""
        return self.margin / (self.margin + self.loss_given_default)


@dataclass(frozen=True, slots=True)
class Decision:
    """What approving everybody below one edge does.

    Attributes
    ----------
    edge
        Index of the edge: so many score bins plus one are approved.
    pd
        PD at the edge; who has it is declined.
    approval_rate, bad_rate
        Share of applicants approved; share of bads among them.
    opportunity, bads_approved
        Share of goods approved, share of bads approved.
    profit
        Expected per applicant, in parts of the exposure.
    """

    edge: int
    pd: float
    approval_rate: Figure
    bad_rate: Figure
    opportunity: Figure
    bads_approved: Figure
    profit: Figure


def decide(
    good: Floats, bad: Floats, grid: ScoreGrid, edge: int, noise_stddev: float, economics: Economics
) -> Decision:
    """Rates of one cut-off.

    Parameters
    ----------
    good, bad
        Released counts per score bin, lowest PD first; shape (B,).
    edge
        Index into the grid's edges.
    noise_stddev
        Of one count, in records.
    """
    below = edge + 1
    cells = np.array([good[:below].sum(), good[below:].sum(), bad[:below].sum(), bad[below:].sum()])
    n_bins = np.array([below, len(good) - below] * 2)

    def rate(above: Floats, among: Floats) -> Figure:
        return ratio(above, among, cells, n_bins * noise_stddev**2)

    earned = _APPROVED * (economics.margin * _GOOD - economics.loss_given_default * _BAD)
    return Decision(
        edge=edge,
        pd=edge_pd(grid, edge),
        approval_rate=within(rate(_APPROVED, _ALL), 0.0, 1.0),
        bad_rate=within(rate(_APPROVED * _BAD, _APPROVED), 0.0, 1.0),
        opportunity=within(rate(_APPROVED * _GOOD, _GOOD), 0.0, 1.0),
        bads_approved=within(rate(_APPROVED * _BAD, _BAD), 0.0, 1.0),
        profit=rate(earned, _ALL),
    )


def edge_pd(grid: ScoreGrid, edge: int) -> float:
    """PD at an edge."""
    return float(sigmoid(np.array(grid.edges[edge] / grid.weight_scale)))


def nearest_edge(grid: ScoreGrid, pd: float) -> int:
    """The edge whose PD is nearest on the logit scale.

    Raises
    ------
    ConfigError
        If the PD is none.
    """
    if not 0 < pd < 1:
        raise ConfigError(f"a cut-off is a PD between 0 and 1, got {pd}; give one such as 0.1.")
    distances = np.abs(np.asarray(grid.edges) / grid.weight_scale - np.log(pd / (1 - pd)))
    return int(distances.argmin())


def shown_edges(good: Floats, bad: Floats, n_parts: int = 10) -> tuple[int, ...]:
    """Edges at which about 1/n, 2/n, … of all applicants are approved, as far as the bins tell them apart."""
    shares = shares_up_to(good + bad)[:-1]
    wanted = np.arange(1, n_parts) / n_parts
    return tuple(sorted({int(np.abs(shares - one).argmin()) for one in wanted}))
