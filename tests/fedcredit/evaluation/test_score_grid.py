import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from fedcredit.errors import ConfigError
from fedcredit.evaluation.score_grid import (
    DEFAULT_RANGE,
    ScoreGrid,
    bin_of,
    bin_pd,
    default_n_bins,
    range_around,
    room_for,
    score_bins,
)


def test_edges_are_integers_and_exact() -> None:
    assert score_bins(6, -2.0, 2.0, 1024).edges == (-2048, -988, -42, 924, 2048)
    twelve = (-4096, -3388, -2800, -2295, -1839, -1403, -958, -476, 76, 732, 1536)
    assert score_bins(12, -4.0, 1.5, 1024).edges == twelve


@pytest.mark.parametrize("n_bins", [5, 20, 50, 100, 1000])
def test_edges_grow_with_the_distance_from_the_base_odds(n_bins: int) -> None:
    """The rule in floating point: edges are even in asinh of the distance, in parts of the reach."""
    base = math.log(0.22 / 0.78)
    grid = score_bins(n_bins, *range_around(0.22), 1024)
    reach = 0.2 * max(1, 100 / n_bins)
    first, last = math.asinh(-2.5 / reach), math.asinh(3.0 / reach)
    steps = n_bins - 2
    expected = [1024 * (base + reach * math.sinh(first + (last - first) * i / steps)) for i in range(steps + 1)]
    assert np.abs(np.array(grid.edges) - expected).max() <= 1.0
    assert (grid.edges[0], grid.edges[-1]) == (round(1024 * (base - 2.5)), round(1024 * (base + 3.0)))


def drawn(seed: int, rate: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated margins: goods and bads normal with one spread, AUC .75."""
    generator = np.random.default_rng(seed)
    bad = (generator.random(n) < rate).astype(np.int64)
    apart = 0.954
    logits = math.log(rate / (1 - rate)) + apart * (generator.standard_normal(n) + apart * (bad - 0.5))
    return bad, np.rint(1024 * logits).astype(np.int64)


@pytest.mark.parametrize("rate", [0.03, 0.22])
def test_a_hundred_bins_keep_auc_and_ks_of_drawn_scores(rate: float) -> None:
    found = []
    for seed in range(12):
        bad, margins = drawn(seed, rate, 6_000 if rate > 0.1 else 30_000)
        bins = bin_of(score_bins(100, *range_around(rate), 1024), margins)
        curve, binned = roc_curve(bad, margins), roc_curve(bad, bins)
        ks = [float(np.max(np.abs(one[1] - one[0]))) for one in (curve, binned)]
        found.append((roc_auc_score(bad, margins) - roc_auc_score(bad, bins), ks[0] - ks[1]))
    auc, ks_lost = np.array(found).T
    # What a bin hides is partly chance: of 80 such draws a few lost more than 3e-3; equal widths lose twice as much.
    assert ks_lost.min() >= 0
    assert ks_lost.mean() <= 1.5e-3
    assert ks_lost.max() <= 4e-3
    assert np.sqrt((auc**2).mean()) <= 2e-4


def test_a_range_that_is_too_narrow_has_no_room() -> None:
    assert room_for(20, 0, 100)
    assert not room_for(20, 0, 99)


@given(
    n_bins=st.integers(3, 200),
    low=st.floats(-7, 0),
    width=st.floats(1.2, 8),
    margins=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=50),
)
def test_bin_counts_the_edges_not_above_the_margin(n_bins: int, low: float, width: float, margins: list[int]) -> None:
    grid = score_bins(n_bins, low, low + width, 1024)
    assert grid.n_bins == n_bins
    expected = [sum(edge <= margin for edge in grid.edges) for margin in margins]
    assert bin_of(grid, np.array(margins, dtype=np.int64)).tolist() == expected


def test_a_margin_on_an_edge_lies_above_it() -> None:
    grid = ScoreGrid((-10, 0, 10), 1024)
    assert bin_of(grid, np.array([-11, -10, -1, 0, 9, 10])).tolist() == [0, 1, 1, 2, 2, 3]


def test_representative_pd_lies_inside_its_bin() -> None:
    grid = score_bins(20, *DEFAULT_RANGE, 1024)
    pd, edges = bin_pd(grid), 1 / (1 + np.exp(-np.array(grid.edges) / 1024))
    assert (pd[:-1] < edges).all()
    assert (pd[1:] > edges).all()


def test_default_range_covers_ordinary_pds() -> None:
    low, high = (1 / (1 + np.exp(-x)) for x in DEFAULT_RANGE)
    assert low < 0.005
    assert high > 0.95


@pytest.mark.parametrize(("n_rows", "expected"), [(500, 20), (9_999, 20), (10_000, 50), (100_000, 50), (100_001, 100)])
def test_number_of_bins_follows_public_size(n_rows: int, expected: int) -> None:
    assert default_n_bins(n_rows) == expected


def test_number_of_bins_falls_with_noise_but_not_below_ten() -> None:
    assert default_n_bins(6_000, 5.0) == 20
    assert default_n_bins(6_000, 40.0) == 15
    assert default_n_bins(6_000, 1e6) == 10


def test_range_is_centred_on_the_base_rate() -> None:
    low, high = range_around(0.5)
    assert (low, high) == (-2.5, 3.0)
    assert range_around(0.02)[0] < -6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_bins(2, -1, 1, 1024), "n_bins"),
        (lambda: score_bins(20, 1, -1, 1024), "range"),
        (lambda: score_bins(20, float("nan"), 1, 1024), "range"),
        (lambda: score_bins(20, -5, float("inf"), 1024), "range"),
        (lambda: score_bins(20, 0, 0.01, 1024), "widen"),
        (lambda: score_bins(20, -5, 5, 0), "weight_scale"),
        (lambda: ScoreGrid((3, 3), 1024), "increasing"),
        (lambda: range_around(0.0), "base_rate"),
        (lambda: range_around(1.0), "base_rate"),
    ],
)
def test_unusable_grids_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
