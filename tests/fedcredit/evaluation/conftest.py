from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.evaluation.histogram import accumulate
from fedcredit.evaluation.score_grid import ScoreGrid, bin_of

WEIGHT_SCALE = 1024


@dataclass(frozen=True)
class Portfolio:
    """Calibrated scores: bad is drawn with the probability that the margin states."""

    margins: NDArray[np.int64]
    bad: NDArray[np.uint8]

    @property
    def pd(self) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-self.margins / WEIGHT_SCALE))

    def counts(self, grid: ScoreGrid) -> NDArray[np.float64]:
        n = len(self.bad)
        no_group = np.zeros(n, dtype=np.int64)
        return accumulate(bin_of(grid, self.margins), no_group, self.bad, np.array([0, n]), 1, grid.n_bins)[0].astype(
            float
        )


@pytest.fixture(scope="session")
def draw() -> Callable[..., Portfolio]:
    def portfolio(rng: np.random.Generator, n: int, centre: float = -1.58, spread: float = 1.17) -> Portfolio:
        logits = centre + spread * rng.standard_normal(n)
        margins = np.round(logits * WEIGHT_SCALE).astype(np.int64)
        bad = (rng.random(n) < 1 / (1 + np.exp(-margins / WEIGHT_SCALE))).astype(np.uint8)
        return Portfolio(margins, bad)

    return portfolio
