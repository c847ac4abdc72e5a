"""Ratios, gaps and quotients of figures: values, intervals, and when there is none."""

import numpy as np
import pytest

from fedcredit.evaluation.figure import Figure, difference, fieller, quotient, unknown, within
from fedcredit.evaluation.ratio import NOTHING, ratio

ONE, BOTH = np.array([1.0, 0.0]), np.ones(2)


def share(first: float, second: float, noise_stddev: float = 0.0) -> Figure:
    return ratio(ONE, BOTH, np.array([first, second]), np.full(2, noise_stddev**2))


def test_a_share_has_its_binomial_deviation() -> None:
    figure = share(300, 700)
    assert figure.value == 0.3
    assert figure.sampling_stddev == pytest.approx(np.sqrt(0.3 * 0.7 / 1000))
    assert figure.noise_stddev == 0
    assert figure.low == pytest.approx(0.3 - 1.96 * figure.sampling_stddev, abs=2e-3)
    assert figure.high == pytest.approx(0.3 + 1.96 * figure.sampling_stddev, abs=2e-3)


def test_noise_widens_it() -> None:
    exact, noisy = share(300, 700), share(300, 700, 20.0)
    assert noisy.noise_stddev == pytest.approx(20 * np.hypot(0.7, 0.3) / 1000)
    assert noisy.low < exact.low < exact.high < noisy.high


def test_an_empty_cell_keeps_an_interval() -> None:
    figure = share(0, 100)
    assert figure.value == 0
    assert 0.02 < figure.high < 0.05


@pytest.mark.parametrize(("first", "second", "noise_stddev"), [(0, 0, 0), (-5, 3, 0), (20, 30, 40)])
def test_what_cannot_be_told_from_the_noise_is_not_stated(first: float, second: float, noise_stddev: float) -> None:
    assert share(first, second, noise_stddev) == unknown(NOTHING)


def test_fieller_is_normal_where_the_denominator_is_known() -> None:
    low, high = fieller(3.0, 10.0, 0.25, 0.0, 0.0)
    assert (low, high) == pytest.approx((0.3 - 0.098, 0.3 + 0.098), abs=1e-3)
    assert fieller(3.0, 1.0, 0.25, 1.0, 0.0) is None


def test_a_quotient_of_equals_is_one_and_inverts() -> None:
    first, second = share(300, 700, 5.0), share(150, 850, 5.0)
    same, there, back = quotient(first, first), quotient(first, second), quotient(second, first)
    assert same.value == 1
    assert same.low < 1 < same.high
    assert there.value == pytest.approx(2)
    assert there.low == pytest.approx(1 / back.high)
    assert there.high == pytest.approx(1 / back.low)
    assert quotient(first, share(1, 1000, 30.0)).value is None


def test_differences_add_variances() -> None:
    gap = difference(Figure(0.5, 0.4, 0.6, 0.03, 0.04), Figure(0.2, 0.1, 0.3, 0.04, 0.03))
    assert gap.value == pytest.approx(0.3)
    assert (gap.sampling_stddev, gap.noise_stddev) == pytest.approx((0.05, 0.05))
    assert gap.high - gap.low == pytest.approx(2 * 1.96 * np.hypot(0.05, 0.05), rel=1e-4)
    assert difference(gap, unknown("no cases")).why == "no cases"


def test_bounds_cut_value_and_interval() -> None:
    assert within(Figure(1.02, 0.9, 1.1, 0.1, 0.0), 0.0, 1.0) == Figure(1.0, 0.9, 1.0, 0.1, 0.0)
    assert within(unknown("why"), 0.0, 1.0) == unknown("why")
