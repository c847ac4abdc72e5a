import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.stats import norm

from fedcredit.errors import PrivacyError
from fedcredit.privacy import gdp
from fedcredit.privacy.shares import (
    _log_sum_slack,
    check_members,
    fewest_members,
    least_noise,
    share_variance,
    sum_delta,
    sum_slack,
)

SMALL = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5]
REACH = 15


def slack(variance: float, members: int) -> float:
    """The bound at variances far below those that a plan may have, where there is something to see."""
    return math.exp(_log_sum_slack(variance, members))


def law_of_the_sum(variance: float, members: int) -> NDArray[np.float64]:
    """Chances of each value of a sum of rounded Gaussians: the convolution of their laws."""
    one = np.diff(norm.cdf((np.arange(-REACH, REACH + 2) - 0.5) / math.sqrt(variance)))
    total = one
    for _ in range(members - 1):
        total = np.convolve(total, one)
    return total


def law_of_the_stand_in(variance: float, members: int) -> NDArray[np.float64]:
    """Chances of K(Z): the density of one Gaussian plus `members` uniforms, at the integers."""
    values = np.arange(-members * REACH, members * REACH + 1)
    spline = BSpline.basis_element(np.arange(members + 1) - members / 2)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    at = (np.arange(members)[:, None] - members / 2 + 0.5 + nodes / 2).ravel()
    density = norm.pdf(values[:, None] - at, scale=math.sqrt(members * variance))
    return (density * spline(at) * np.tile(weights / 2, members)).sum(axis=1)


def lattice_sum(variance: float, members: int) -> float:
    """The theorem's slack term by term."""
    total = 0.0
    for m in product(range(-6, 7), repeat=members - 1):
        q = sum(x * x for x in m) - sum(m) ** 2 / members
        total += math.exp(-2 * math.pi**2 * variance * q) if any(m) else 0.0
    return total / 2


@pytest.mark.parametrize("members", [2, 3, 4])
@pytest.mark.parametrize("variance", SMALL)
def test_the_bound_lies_above_the_true_distance(members: int, variance: float) -> None:
    left, right = law_of_the_sum(variance, members), law_of_the_stand_in(variance, members)
    assert left.sum() == pytest.approx(1, abs=1e-12)
    assert right.sum() == pytest.approx(1, abs=1e-12)
    distance = float(np.abs(left - right).sum() / 2)
    assert distance <= min(1.0, lattice_sum(variance, members)) <= slack(variance, members)


@pytest.mark.parametrize(("members", "factor"), [(2, 7), (3, 30)])
def test_the_bound_is_not_far_above_the_true_distance(members: int, factor: float) -> None:
    for variance in (0.3, 0.4, 0.5):
        left, right = law_of_the_sum(variance, members), law_of_the_stand_in(variance, members)
        assert slack(variance, members) < factor * np.abs(left - right).sum() / 2


@pytest.mark.parametrize("members", [2, 3, 5])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
def test_small_sums_keep_the_whole_promise(members: int, epsilon: float) -> None:
    """One unit moves the sum by 1: the exact δ of the two laws is at most the Gaussian's plus the slack's."""
    for variance in SMALL:
        law = law_of_the_sum(variance, members)
        true = np.maximum(law[1:] - math.exp(epsilon) * law[:-1], 0).sum() + law[0]
        gaussian = gdp.delta_of(epsilon, 1 / math.sqrt(members * variance))
        assert true <= gaussian + (1 + math.exp(epsilon)) * slack(variance, members) + 1e-12


def test_without_the_slack_the_promise_of_small_sums_is_wrong() -> None:
    law = law_of_the_sum(0.05, 3)
    true = np.maximum(law[1:] - math.e * law[:-1], 0).sum()
    assert true > 1.05 * gdp.delta_of(1.0, 1 / math.sqrt(0.15))


@given(st.floats(0.01, 1e7), st.integers(2, 10_000))
def test_the_bound_falls_with_the_share_and_grows_with_the_members(variance: float, members: int) -> None:
    here = _log_sum_slack(variance, members)
    assert _log_sum_slack(variance * 1.01, members) <= here <= _log_sum_slack(variance, members + 1) <= 0


def test_the_logarithm_is_right_where_doubles_are_too_small() -> None:
    assert _log_sum_slack(64**2, 5) == pytest.approx(math.log(5) - math.pi**2 * 64**2, rel=1e-11)
    assert _log_sum_slack(2**80, 5) > -(math.pi**2) * 2**80
    exact = math.expm1(6 * math.exp(-(math.pi**2)) / -math.expm1(-(math.pi**2))) / 2
    assert exact <= slack(1.0, 3) <= exact * 1.001


def test_what_is_too_small_for_a_double_is_not_called_nothing() -> None:
    assert sum_slack(64**2, 3) == sum_slack(2**80, 10_000) == math.ulp(0.0)
    assert sum_delta(1.0, 100_000, 64**2, 5) == math.ulp(0.0)
    assert sum_delta(1.0, 0, 64**2, 5) == 0


def test_delta_counts_coordinates_and_epsilon() -> None:
    assert sum_slack(1, 3) == slack(1.0, 3)
    assert sum_delta(2.0, 40, 1, 3) == pytest.approx(40 * (1 + math.exp(2.0)) * sum_slack(1, 3))
    assert sum_delta(2.0, 40, 1, 3) >= 40 * (1 + math.exp(2.0)) * sum_slack(1, 3)
    assert sum_delta(5000.0, 1, 1, 3) == 1.0


@pytest.mark.parametrize("bad", [(1.0, -1, 4096, 3), (0.0, 1, 4096, 3), (1.0, 1, 4096, 1), (1.0, 1, 0, 3)])
def test_nonsense_has_no_delta(bad: tuple[float, int, int, int]) -> None:
    with pytest.raises(PrivacyError, match="got"):
        sum_delta(*bad)


@given(st.integers(64**2 * 100, 2**80), st.integers(3, 99), st.data())
def test_honest_shares_sum_to_the_noise_and_hardly_more(variance: int, members: int, data: st.DataObject) -> None:
    colluders = data.draw(st.integers(0, members - 2))
    honest = members - colluders
    total = honest * share_variance(variance, members, colluders)
    assert variance <= total < variance + honest


@given(st.integers(64**2 * 100, 2**80), st.integers(3, 99), st.integers(0, 50))
def test_who_stays_never_adds_less(variance: int, members: int, colluders: int) -> None:
    if members >= fewest_members(colluders):
        assert share_variance(variance, members, colluders) >= share_variance(variance, members + 1, colluders)


def test_a_share_is_whole_and_rounded_up() -> None:
    assert share_variance(40_001, 5, 1) == 10_001
    assert share_variance(4 * 64**2, 5, 1) == 64**2
    with pytest.raises(PrivacyError, match=r"below 64\^2 .* lower epsilon"):
        share_variance(4 * 64**2 - 4, 5, 1)


@pytest.mark.parametrize(("members", "colluders"), [(2, 0), (2, 1), (3, 2), (11, 10), (0, 0)])
def test_too_few_cannot_share(members: int, colluders: int) -> None:
    assert members < fewest_members(colluders)
    with pytest.raises(PrivacyError, match=r"needs .* got .*; use privacy.placement=local"):
        share_variance(2**40, members, colluders)
    check_members(fewest_members(colluders), colluders)


def test_nobody_colludes_less_than_not_at_all() -> None:
    with pytest.raises(PrivacyError, match="got colluders=-1"):
        share_variance(2**40, 5, -1)


@given(st.integers(64**2 * 100, 2**60), st.integers(3, 40), st.data())
def test_no_attempt_has_less_noise_than_is_stated(variance: int, members: int, data: st.DataObject) -> None:
    colluders = data.draw(st.integers(0, members - 2))
    known = data.draw(st.integers(0, members - 1))
    drops = data.draw(st.integers(0, members))
    size = data.draw(st.integers(max(fewest_members(colluders), members - drops), members))
    stated = least_noise(members, drops, colluders, lambda size: min(known, size - 1))
    faced = (size - min(known, size - 1)) * share_variance(variance, size, colluders)
    assert faced >= variance * stated


def test_the_least_noise_is_that_of_the_worst_attempt() -> None:
    assert least_noise(5, 5, 1, lambda _: 1) == 1
    assert least_noise(5, 5, 1, lambda _: 0) == Fraction(5, 4)
    assert least_noise(5, 5, 1, lambda _: 2) == Fraction(1, 2)
    assert least_noise(5, 5, 0, lambda _: 1) == Fraction(2, 3)
    assert least_noise(5, 5, 1, lambda size: size - 1) == Fraction(1, 4)


def test_fewer_drops_leave_an_attacker_fewer_attempts_to_choose_from() -> None:
    assert [least_noise(5, drops, 1, lambda _: 2) for drops in (0, 1, 2)] == [
        Fraction(3, 4),
        Fraction(2, 3),
        Fraction(1, 2),
    ]
