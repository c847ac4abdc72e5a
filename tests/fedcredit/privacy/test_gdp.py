"""Exact Gaussian DP: golden values, a high-precision oracle, and proofs that rounding is conservative."""

import itertools
import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import PrivacyError
from fedcredit.privacy import gdp

ctx = mpmath.MPContext()
ctx.dps = 80

MUS = st.floats(1e-6, 50)
DELTAS = st.floats(-12, -1).map(lambda exponent: 10.0**exponent)


def exact_delta(epsilon: float, mu: float) -> mpmath.mpf:
    ratio, half = ctx.mpf(epsilon) / ctx.mpf(mu), ctx.mpf(mu) / 2
    return ctx.ncdf(half - ratio) - ctx.exp(epsilon) * ctx.ncdf(-half - ratio)


@pytest.mark.parametrize(
    ("delta", "epsilon", "mu", "digits"),
    [
        (1e-5, 0.1, 0.0325, 4),
        (1e-5, 0.5, 0.142, 3),
        (1e-5, 1, 0.268, 3),
        (1e-5, 2, 0.502, 3),
        (1e-5, 4, 0.925, 3),
        (1e-5, 8, 1.666, 3),
        (1e-6, 0.1, 0.0275, 4),
        (1e-6, 0.5, 0.124, 3),
        (1e-6, 1, 0.237, 3),
        (1e-6, 2, 0.448, 3),
        (1e-6, 4, 0.838, 3),
        (1e-6, 8, 1.53, 2),
    ],
)
def test_golden_table(delta: float, epsilon: float, mu: float, digits: int) -> None:
    assert round(gdp.mu_of(epsilon, delta), digits) == mu


def test_delta_is_the_hockey_stick_divergence_of_two_gaussians() -> None:
    epsilon, mu = 1.3, 0.9
    crossing = epsilon / mu + mu / 2
    excess = ctx.quad(
        lambda x: ctx.npdf(x, mu) - ctx.exp(epsilon) * ctx.npdf(x), [crossing, crossing + 3, crossing + 20]
    )
    assert gdp.delta_of(epsilon, mu) == pytest.approx(float(excess), rel=1e-14)


@pytest.mark.parametrize(
    ("stddevs", "mu"),
    list(itertools.product((-30, -3, -0.1, 0, 0.5, 4, 9, 30, 37), (1e-6, 1e-3, 0.3, 5, 50))),
)
def test_delta_is_an_upper_bound_within_two_roundings(stddevs: float, mu: float) -> None:
    epsilon = max(0.0, mu * (stddevs + mu / 2))
    exact = exact_delta(epsilon, mu)
    bound = gdp.delta_of(epsilon, mu)
    assert bound >= exact
    assert bound <= exact * (1 + ctx.mpf(2) ** -51) or bound == 1.0


def test_delta_at_the_ends_of_its_range() -> None:
    assert gdp.delta_of(1.0, 0.0) == 0.0
    assert gdp.delta_of(1000.0, 1e-6) == math.ulp(0.0)  # never reported as impossible
    assert gdp.delta_of(1.0, 100.0) == 1.0
    assert gdp.delta_of(0.0, 1.0) == pytest.approx(math.erf(1 / math.sqrt(8)), rel=1e-15)


@given(mu=MUS, delta=DELTAS)
@settings(deadline=None, max_examples=60)
def test_epsilon_is_proved_and_tight(mu: float, delta: float) -> None:
    epsilon = gdp.epsilon_of(mu, delta)
    assert exact_delta(epsilon, mu) <= delta
    if epsilon > 0:
        assert exact_delta(epsilon * (1 - 1e-7), mu) > delta


@given(epsilon=st.floats(1e-3, 100), delta=DELTAS)
@settings(deadline=None, max_examples=60)
def test_mu_is_proved_and_tight(epsilon: float, delta: float) -> None:
    mu = gdp.mu_of(epsilon, delta)
    assert exact_delta(epsilon, mu) <= delta
    assert exact_delta(epsilon, mu * (1 + 1e-7)) > delta
    assert gdp.epsilon_of(mu, delta) == pytest.approx(epsilon, rel=1e-6)


@given(sensitivity_squared=st.integers(1, 2**50), mu=MUS)
def test_noise_variance_is_the_least_that_keeps_the_price(sensitivity_squared: int, mu: float) -> None:
    asked = Fraction(mu) ** 2
    variance = gdp.noise_variance_for(sensitivity_squared, asked)
    assert gdp.mu_squared(sensitivity_squared, variance) <= asked
    assert variance == 1 or gdp.mu_squared(sensitivity_squared, variance - 1) > asked


def test_a_budget_split_in_events_is_never_exceeded_by_their_exact_sum() -> None:
    budget = gdp.budget_mu_squared(1.0, 1e-5)
    sensitivity_squared = 1024**2 * 24
    shares = [Fraction(9, 100), *[Fraction(75, 100) / 20] * 20, Fraction(6, 100), Fraction(10, 100)]
    assert sum(shares) == 1
    spent = sum(
        gdp.mu_squared(sensitivity_squared, gdp.noise_variance_for(sensitivity_squared, budget * share))
        for share in shares
    )
    assert budget * (1 - Fraction(1, 10**6)) < spent <= budget
    assert gdp.epsilon_of(gdp.mu_from_squared(Fraction(spent)), 1e-5) <= 1.0 + 1e-9


def test_full_batch_training_costs_the_square_root_of_its_rounds() -> None:
    spent = sum((gdp.mu_squared(25, 25 * 16**2) for _ in range(20)), start=Fraction(0))
    assert gdp.mu_from_squared(spent) == pytest.approx(math.sqrt(20) / 16, rel=1e-15)


@given(numerator=st.integers(0, 2**80), denominator=st.integers(1, 2**80))
def test_the_root_of_a_sum_is_rounded_up_to_the_next_double(numerator: int, denominator: int) -> None:
    total = Fraction(numerator, denominator)
    mu = gdp.mu_from_squared(total)
    assert Fraction(mu) ** 2 >= total
    assert Fraction(mu * (1 - 2**-51)) ** 2 <= total


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf])
def test_impossible_epsilon_is_refused(epsilon: float) -> None:
    with pytest.raises(PrivacyError, match="epsilon must be a finite number above 0"):
        gdp.mu_of(epsilon, 1e-5)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, math.inf])
def test_impossible_delta_is_refused(delta: float) -> None:
    with pytest.raises(PrivacyError, match="delta must lie strictly between 0 and 1"):
        gdp.mu_of(1.0, delta)
    with pytest.raises(PrivacyError, match="delta must lie strictly between 0 and 1"):
        gdp.epsilon_of(1.0, delta)


@pytest.mark.parametrize("mu", [-0.1, math.nan, math.inf, 1e-31, 2e6])
def test_impossible_mu_is_refused(mu: float) -> None:
    with pytest.raises(PrivacyError, match="mu must be 0 or lie between"):
        gdp.epsilon_of(mu, 1e-5)


def test_targets_beyond_every_noise_are_refused() -> None:
    with pytest.raises(PrivacyError, match="protects nothing"):
        gdp.mu_of(1e13, 1e-5)
    with pytest.raises(PrivacyError, match="no usable noise"):
        gdp.mu_of(1e-40, 1e-40)


@pytest.mark.parametrize(("sensitivity_squared", "variance"), [(-1, 1), (1, 0), (1, -4), (1.0, 4), (1, 4.0), (True, 4)])
def test_only_integers_make_an_exact_event(sensitivity_squared: int, variance: int) -> None:
    with pytest.raises(PrivacyError, match="must be a whole number"):
        gdp.mu_squared(sensitivity_squared, variance)


@pytest.mark.parametrize("mu_squared", [0.0, -1.0, math.nan, math.inf, Fraction(0)])
def test_noise_for_no_budget_is_refused(mu_squared: float | Fraction) -> None:
    with pytest.raises(PrivacyError, match="mu_squared must be a finite number above 0"):
        gdp.noise_variance_for(1, mu_squared)


def test_a_negative_sum_is_refused() -> None:
    with pytest.raises(PrivacyError, match="at least 0"):
        gdp.mu_from_squared(Fraction(-1))


def test_default_delta_shrinks_with_the_population_and_passes_its_own_check() -> None:
    assert gdp.default_delta(1000) == 1e-6
    assert gdp.default_delta(10**6) == pytest.approx(0.1 * 1e6**-1.1, rel=1e-12)
    for n in (1, 30_000, 10**9):
        gdp.check_delta(gdp.default_delta(n), n)


@pytest.mark.parametrize(("delta", "n"), [(1 / 3000, 3000), (1e-3, 3000)])
def test_delta_of_one_record_is_refused(delta: float, n: int) -> None:
    with pytest.raises(PrivacyError, match=r"below 1/N.*choose at most"):
        gdp.check_delta(delta, n)
    gdp.check_delta(0.99 / n, n)


@pytest.mark.parametrize("n", [0, -5, 10.0])
def test_a_population_is_a_positive_whole_number(n: int) -> None:
    with pytest.raises(PrivacyError, match="N must be a whole number"):
        gdp.default_delta(n)
