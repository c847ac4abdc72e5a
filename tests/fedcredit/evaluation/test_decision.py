"""Cut-offs: four sums, five rates, and who is told apart by an edge."""

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.evaluation.decision import Economics, decide, edge_pd, nearest_edge, shown_edges
from fedcredit.evaluation.score_grid import ScoreGrid

GRID = ScoreGrid((-2048, -1024, 0, 1024), 1024)
GOOD, BAD = np.array([40.0, 30.0, 20.0, 10.0, 5.0]), np.array([2.0, 4.0, 8.0, 10.0, 16.0])


def test_rates_are_those_of_the_four_sums() -> None:
    at = decide(GOOD, BAD, GRID, 1, 0.0, Economics(0.5, 0.1))
    assert at.pd == pytest.approx(1 / (1 + np.exp(1)), abs=1e-3)
    values = [at.approval_rate, at.bad_rate, at.opportunity, at.bads_approved, at.profit]
    assert [one.value for one in values] == pytest.approx([76 / 145, 6 / 76, 70 / 105, 6 / 40, (7 - 3) / 145])


def test_a_bin_carries_its_own_noise() -> None:
    few, many = (decide(GOOD, BAD, GRID, edge, 3.0, Economics()).approval_rate.noise_stddev for edge in (0, 3))
    assert few == pytest.approx(3 * np.sqrt(2 * (1 - 42 / 145) ** 2 + 8 * (42 / 145) ** 2) / 145)
    assert many != few


def test_the_nearest_edge_is_nearest_in_logits() -> None:
    assert [nearest_edge(GRID, pd) for pd in (0.01, 0.3, 0.5, 0.99)] == [0, 1, 2, 3]
    assert edge_pd(GRID, 2) == 0.5
    with pytest.raises(ConfigError, match="cut-off"):
        nearest_edge(GRID, 1.0)


def test_break_even_is_where_margin_meets_loss() -> None:
    assert Economics(0.45, 0.05).break_even_pd == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="margin"):
        Economics(0.45, 0.0)
    with pytest.raises(ConfigError, match="loss given default"):
        Economics(1.2, 0.1)


def test_shown_edges_rise_and_stay_inside() -> None:
    edges = shown_edges(GOOD, BAD)
    assert edges == tuple(sorted(set(edges)))
    assert 0 <= edges[0] <= edges[-1] < len(GRID.edges)
