"""Tables of a made-up binned model and rows of many institutions, for tests of what computes their sums."""

import numpy as np

from fedcredit.models.binned_tables import BinnedTables
from fedcredit.models.scorecard_spec import MARGIN_LIMIT


def tables(rng: np.random.Generator, n_cells: list[int]) -> BinnedTables:
    """Every second cell shares its neighbour's coordinate; margins reach beyond the residual table."""
    starts = np.cumsum([0, *n_cells])
    bins = [np.arange(size) // 2 for size in n_cells]
    first = np.cumsum([0, *(int(own.max()) + 1 for own in bins)])
    places = np.concatenate([own + start for own, start in zip(bins, first[:-1], strict=True)])
    weights = rng.integers(-MARGIN_LIMIT, MARGIN_LIMIT + 1, len(places))
    return BinnedTables(starts, weights, places, -700, int(first[-1]) + 1, int(first[-1]) + 2)


def rows(rng: np.random.Generator, n_cells: list[int], sizes: list[int], dtype: type) -> tuple[np.ndarray, ...]:
    n = sum(sizes)
    cells = np.stack([rng.integers(0, size, n) for size in n_cells], axis=1).astype(dtype)
    return cells, (rng.random(n) < 0.3).astype(np.uint8), np.cumsum([0, *sizes], dtype=np.int64)
