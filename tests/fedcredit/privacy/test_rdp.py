"""Rényi DP against numerical integration, against published ε, and against exact Gaussian DP."""

import math

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import PrivacyError
from fedcredit.privacy import gdp, rdp

ctx = mpmath.MPContext()
ctx.dps = 25


def integrated(q: float, sigma: float, order: int) -> float:
    """log E[((1 − q) + q·N(1, σ²)/N(0, σ²))^α] / (α − 1) under N(0, σ²), by quadrature."""

    def integrand(x: mpmath.mpf) -> mpmath.mpf:
        ratio = (1 - ctx.mpf(q)) + q * ctx.exp((2 * x - 1) / (2 * ctx.mpf(sigma) ** 2))
        return ctx.npdf(x, 0, sigma) * ratio**order

    reach = order + 40 * sigma
    points = ctx.linspace(-reach, reach, 30)
    return float(ctx.log(ctx.quad(integrand, points)) / (order - 1))


@pytest.mark.parametrize(
    ("q", "sigma", "order"),
    [(0.05, 1.0, 2), (0.05, 0.6, 5), (0.3, 2.0, 16), (0.001, 4.0, 32), (0.9, 1.5, 7), (1e-6, 20.0, 3)],
)
def test_the_closed_form_is_the_divergence(q: float, sigma: float, order: int) -> None:
    value = rdp.subsampled_gaussian(q, sigma, order)
    assert value == pytest.approx(integrated(q, sigma, order), rel=2e-9)
    assert value > integrated(q, sigma, order)


@pytest.mark.parametrize(("sigma", "pld", "usual"), [(0.6, 21.644, 24.159), (1.0, 6.700, 7.420), (2.0, 2.247, 2.461)])
def test_published_values(sigma: float, pld: float, usual: float) -> None:
    """N = 5000, batch 250, 400 steps, δ = 1e-5: never below PLD; fractional orders gain a few per cent."""
    epsilon = rdp.epsilon_of_releases([rdp.Releases(0.05, sigma, 400)], 1e-5)
    assert epsilon >= pld
    assert usual - 0.001 <= epsilon <= 1.04 * usual


def test_no_sampling_is_the_gaussian_and_the_limit_of_sampling() -> None:
    assert rdp.subsampled_gaussian(1, 2.0, 8, steps=5) == pytest.approx(5 * 8 / 8, rel=2e-9)
    assert rdp.subsampled_gaussian(1 - 1e-12, 2.0, 8) == pytest.approx(rdp.gaussian(0.5, 8), rel=1e-8)


@given(q=st.floats(1e-6, 0.99), sigma=st.floats(0.5, 50), order=st.integers(2, 200))
@settings(deadline=None, max_examples=50)
def test_less_sampling_and_more_noise_never_cost_more(q: float, sigma: float, order: int) -> None:
    value = rdp.subsampled_gaussian(q, sigma, order)
    assert 0 < value <= rdp.gaussian(1 / sigma, order) * (1 + 1e-8)
    assert rdp.subsampled_gaussian(q / 2, sigma, order) < value
    assert rdp.subsampled_gaussian(q, sigma * 1.1, order) < value
    assert value <= rdp.subsampled_gaussian(q, sigma, order + 1) * (1 + 1e-8)


@pytest.mark.parametrize("order", [2, 512, rdp.MAX_ORDER])
@pytest.mark.parametrize(("q", "sigma"), [(1e-9, 1000.0), (0.5, 0.05), (0.999, 1e5)])
def test_extremes_stay_finite(q: float, sigma: float, order: int) -> None:
    assert 0 < rdp.subsampled_gaussian(q, sigma, order) < math.inf


@given(mu=st.floats(0.01, 5), delta=st.sampled_from([1e-9, 1e-6, 1e-5, 1e-2]))
@settings(deadline=None, max_examples=50)
def test_the_conversion_never_beats_exact_gaussian_dp(mu: float, delta: float) -> None:
    best = min(rdp.epsilon_from_rdp(rdp.gaussian(mu, order), order, delta) for order in rdp.ORDERS)
    assert best >= gdp.epsilon_of(mu, delta) * (1 - 1e-6)


def test_the_conversion_is_proposition_12() -> None:
    rho, order, delta = 0.3, 20, 1e-6
    expected = rho + (math.log(1 / delta) + 19 * math.log(1 - 1 / 20) - math.log(20)) / 19
    assert rdp.epsilon_from_rdp(rho, order, delta) == pytest.approx(expected, rel=1e-11)
    assert rdp.epsilon_from_rdp(0.0, 512, 0.5) == 0.0


@given(epsilon=st.floats(0.5, 20), delta=st.sampled_from([1e-8, 1e-5]), order=st.integers(64, 512))
def test_a_budget_spent_in_full_proves_its_epsilon(epsilon: float, delta: float, order: int) -> None:
    allowed = rdp.budget(epsilon, delta, order)
    assert epsilon * (1 - 1e-8) <= rdp.epsilon_from_rdp(allowed, order, delta) <= epsilon


def test_an_order_that_can_prove_nothing_is_refused() -> None:
    with pytest.raises(PrivacyError, match=r"order 2 can never prove .* higher order"):
        rdp.budget(1.0, 1e-5, 2)


def test_releases_of_several_kinds_add_up_at_each_order_and_the_best_order_counts() -> None:
    steps, plain = rdp.Releases(0.05, 1.0, 400), rdp.Releases(1, 8.0, 2)

    def epsilon(order: int) -> float:
        spent = rdp.subsampled_gaussian(0.05, 1.0, order, 400) + 2 * rdp.gaussian(1 / 8, order)
        return rdp.epsilon_from_rdp(spent, order, 1e-5)

    assert rdp.epsilon_of_releases([steps, plain], 1e-5) == pytest.approx(min(map(epsilon, rdp.ORDERS)), rel=1e-12)
    assert rdp.epsilon_of_releases([steps, plain], 1e-5, orders=(12,)) == pytest.approx(epsilon(12), rel=1e-12)
    assert rdp.epsilon_of_releases([steps], 1e-5) < rdp.epsilon_of_releases([steps, plain], 1e-5)


@pytest.mark.parametrize("order", [1, 0, -2, 2.5, True, rdp.MAX_ORDER + 1])
def test_only_whole_orders_are_taken(order: int) -> None:
    for q in (0.1, 1):
        with pytest.raises(PrivacyError, match="order must be a whole number"):
            rdp.subsampled_gaussian(q, 1.0, order)


@pytest.mark.parametrize(
    ("q", "sigma", "steps", "match"),
    [
        (0.0, 1.0, 1, "rate"),
        (1.1, 1.0, 1, "rate"),
        (math.nan, 1.0, 1, "rate"),
        (0.1, 0.0, 1, "noise_multiplier"),
        (0.1, math.inf, 1, "noise_multiplier"),
        (0.1, math.nan, 1, "noise_multiplier"),
        (0.1, 1.0, 0, "steps"),
    ],
)
def test_impossible_parameters_are_refused(q: float, sigma: float, steps: int, match: str) -> None:
    with pytest.raises(PrivacyError, match=match):
        rdp.subsampled_gaussian(q, sigma, 2, steps)


def test_impossible_accounts_are_refused() -> None:
    for bad in (-0.1, math.nan):
        with pytest.raises(PrivacyError, match="rdp must be at least 0"):
            rdp.epsilon_from_rdp(bad, 2, 1e-5)
