"""The root finder: SciPy's own steps, bit for bit, so that no ledger's budget changes."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from fedcredit.errors import PrivacyError
from fedcredit.privacy import gdp
from fedcredit.privacy.brent import root

# Steep, bent and torn ones: secant, parabola and bisection are all needed.
SHAPES = {
    "line": lambda x: x,
    "cube": lambda x: x**3 + x,
    "root": lambda x: math.copysign(abs(x) ** 0.3, x),
    "exponential": lambda x: math.expm1(min(x, 500.0)),
    "sign": lambda x: math.copysign(1.0, x),
    "cliff": lambda x: x if x > -0.1 else -1e300,
}


def both(function, low, high, xtol, rtol):
    return root(function, low, high, xtol=xtol, rtol=rtol), brentq(function, low, high, xtol=xtol, rtol=rtol)


@pytest.mark.parametrize("shape", SHAPES)
@given(zero=st.floats(-5, 5), low=st.floats(1e-3, 20), high=st.floats(1e-3, 20))
@example(zero=0.0, low=1.0, high=1.0)
@settings(max_examples=60, deadline=None)
def test_the_same_bits_as_scipy(shape, zero, low, high):
    function = SHAPES[shape]
    ours, theirs = both(lambda x: function(x - zero), zero - low, zero + high, 1e-12, 1e-14)
    assert ours.hex() == theirs.hex()


@given(
    epsilon=st.floats(0.01, 100),
    delta=st.floats(-12, -2).map(lambda exponent: 10.0**exponent),
    mu=st.floats(1e-3, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_same_budgets_as_with_scipy(epsilon, delta, mu):
    ours = gdp.mu_of(epsilon, delta), gdp.epsilon_of(mu, delta)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gdp, "root", brentq)
        theirs = gdp.mu_of(epsilon, delta), gdp.epsilon_of(mu, delta)
    assert [value.hex() for value in ours] == [value.hex() for value in theirs]


@pytest.mark.parametrize(("low", "high", "found"), [(0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)])
def test_a_root_at_an_end(low, high, found):
    assert root(lambda x: x, low, high, xtol=1e-9, rtol=1e-9) == found


def test_what_has_no_root_is_said():
    with pytest.raises(PrivacyError, match="no change of sign between 1 and 2"):
        root(lambda x: x, 1, 2, xtol=1e-9, rtol=1e-9)
    with pytest.raises(PrivacyError, match="in 100 steps"):
        root(lambda x: math.copysign(1.0, x - 1 / 3), 0.0, 1.0, xtol=0.0, rtol=0.0)
