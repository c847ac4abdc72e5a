"""Printed bounds: never on the wrong side of the number, and no uglier than it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.printed import at_least, at_most, at_most_digits

BOUNDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
PART = Fraction(1, 10**12)


@given(BOUNDS, st.integers(0, 6))
def test_what_is_spent_rounds_up_and_what_is_left_down(value, decimals):
    spent, left = Fraction(at_most(value, decimals)), Fraction(at_least(value, decimals))
    exact, step = Fraction(value), Fraction(1, 10**decimals)
    assert exact * (1 - PART) <= spent < exact + step
    assert exact - step < left <= exact * (1 + PART)


@given(st.floats(min_value=1e-9, max_value=1e6), st.integers(1, 6))
def test_significant_digits_round_up(value, digits):
    printed = Fraction(at_most_digits(value, digits))
    assert Fraction(value) * (1 - PART) <= printed <= Fraction(value) * (1 + Fraction(10, 10**digits))


@pytest.mark.parametrize(
    ("value", "printed"), [(0.0, "0"), (1.0, "1"), (0.50211, "0.503"), (9.991, "10"), (1e-6, "1e-06"), (123.1, "124")]
)
def test_significant_digits_look_as_they_always_did(value, printed):
    assert at_most_digits(value) == printed


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0])
def test_a_budget_that_is_spent_to_the_last_bit_prints_as_its_epsilon(epsilon):
    """Also where the double is one unit in the last place above it."""
    accountant = GaussianAccountant.for_target(epsilon, 7.943282347242822e-07)
    worth = accountant.epsilon(accountant.budget, 7.943282347242822e-07)
    assert at_most(worth) == at_least(worth) == f"{epsilon:.3f}"
    assert at_most_digits(worth, 6) == f"{epsilon:g}"
