"""Groups that are judged or only named; indices of stability and what chance makes of them."""

import numpy as np
import pytest

from fedcredit.evaluation.fairness import GroupCells, group_figures
from fedcredit.evaluation.score_grid import DEFAULT_RANGE, score_bins
from fedcredit.evaluation.stability import stability

GRID = score_bins(20, *DEFAULT_RANGE, 1024)
SHAPE = np.exp(-0.5 * ((np.arange(20) - 8) / 3) ** 2)


def cells(name: str, n: float, noise_stddev: float = 0.0, shift: int = 0) -> GroupCells:
    total = n * SHAPE / SHAPE.sum()
    return GroupCells(name, np.roll(0.8 * total, shift), np.roll(0.2 * total, shift + 2), noise_stddev)


def test_the_largest_group_is_the_reference_whoever_does_best() -> None:
    reference, found = group_figures((cells("few", 900, shift=-2), cells("many", 5000)), GRID, 8)
    assert reference == "many"
    few, many = found
    assert many.approval_ratio is None
    assert few.approval_ratio.value > 1
    assert few.approval_ratio.low < few.approval_ratio.value < few.approval_ratio.high
    assert few.opportunity_gap.value > 0 > few.logit_gap.value


@pytest.mark.parametrize(("n", "noise_stddev", "judged"), [(99, 0, 0), (100, 0, 1), (150, 10, 0), (300, 10, 1)])
def test_a_minimum_must_be_met_surely(n: float, noise_stddev: float, judged: int) -> None:
    _, found = group_figures((cells("small", n, noise_stddev), cells("many", 9000, noise_stddev)), GRID, 8)
    assert found[0].too_few is not bool(judged)
    assert (found[0].approval_rate is not None) is bool(judged)


def test_without_a_group_to_judge_there_is_no_reference() -> None:
    assert group_figures((cells("a", 5), cells("b", 8)), GRID, 8)[0] is None


def test_the_index_is_the_textbook_sum() -> None:
    first, second = np.array([200.0, 300, 500]), np.array([300.0, 300, 400])
    p, q = first / 1000, second / 1000
    found = stability(first, second, 0.0, 0.0)
    assert found.index == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert found.floor == pytest.approx(2 * (1 / 1000 + 1 / 1000))
    assert found.excess == pytest.approx(found.index - found.floor)


@pytest.mark.statistical
@pytest.mark.parametrize("noise_stddev", [0.0, 6.0])
def test_the_floor_is_the_mean_when_nothing_has_shifted(noise_stddev: float) -> None:
    rng, expected = np.random.default_rng(5), 4000 * SHAPE / SHAPE.sum()
    drawn = [rng.poisson(expected, (2, 20)) + noise_stddev * rng.standard_normal((2, 20)) for _ in range(400)]
    found = [stability(one, other, noise_stddev, noise_stddev) for one, other in drawn]
    indices, floors = np.array([(one.index, one.floor) for one in found]).T
    assert indices.mean() == pytest.approx(floors.mean(), rel=0.12)


def test_light_bins_are_merged_and_too_few_records_are_not_compared() -> None:
    first = np.array([1.0, 2, 400, 500, 3])
    assert stability(first, first, 0.0, 0.0).bins == 2
    empty = stability(first, np.zeros(5), 0.0, 0.0)
    assert (empty.index, empty.excess) == (None, None)
    assert empty.why == "too few records for the noise"
