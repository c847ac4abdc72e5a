"""A root between two signs, by Brent's method: bisection that tries a secant or a parabola first.

The steps and their rounding are those of SciPy's ``brentq``, so that every budget that a ledger holds has the same
bytes as before; its module costs each custodian 25 MB and a second at start.

References
----------
Brent, "Algorithms for Minimization Without Derivatives", 1973, chapter 4.
"""

import math
from collections.abc import Callable

from fedcredit.errors import PrivacyError

_MOST_STEPS = 100


def root(function: Callable[[float], float], low: float, high: float, *, xtol: float, rtol: float) -> float:
    """Return a point where `function` changes its sign, within ``(xtol + rtol·|x|) / 2``.

    Parameters
    ----------
    function
        Continuous, with different signs at `low` and `high`.
    xtol, rtol
        Absolute and relative tolerance, above 0.

    Raises
    ------
    PrivacyError
        If the signs do not differ, or no root is found in 100 steps.
    """
    earlier, here = low, high
    f_earlier, f_here = function(earlier), function(here)
    if f_earlier == 0:
        return earlier
    if f_here != 0 and _same_sign(f_earlier, f_here):
        raise PrivacyError(f"no change of sign between {low} and {high}; report this as a defect.")
    other, f_other, step, step_before = 0.0, 0.0, 0.0, 0.0
    for _ in range(_MOST_STEPS):
        if f_here != 0 and not _same_sign(f_earlier, f_here):
            other, f_other = earlier, f_earlier
            step = step_before = here - earlier
        if abs(f_other) < abs(f_here):
            earlier, here, other = here, other, here
            f_earlier, f_here, f_other = f_here, f_other, f_here
        tolerance = (xtol + rtol * abs(here)) / 2
        half = (other - here) / 2
        if f_here == 0 or abs(half) < tolerance:
            return here
        tried = math.inf
        if abs(step_before) > tolerance and abs(f_here) < abs(f_earlier):
            tried = _estimate((earlier, f_earlier), (here, f_here), (other, f_other))
        good = 2 * abs(tried) < min(abs(step_before), 3 * abs(half) - tolerance)
        step_before, step = (step, tried) if good else (half, half)
        earlier, f_earlier = here, f_here
        here += step if abs(step) > tolerance else math.copysign(tolerance, half)
        f_here = function(here)
    raise PrivacyError(f"no root between {low} and {high} in {_MOST_STEPS} steps; report this as a defect.")


def _estimate(earlier: tuple[float, float], here: tuple[float, float], other: tuple[float, float]) -> float:
    """The step from `here` to where the secant, or the inverse parabola through three points, is 0."""
    (x0, f0), (x, f), (x1, f1) = earlier, here, other
    if x0 == x1:
        return -f * (x - x0) / (f - f0)
    slope0, slope1 = (f0 - f) / (x0 - x), (f1 - f) / (x1 - x)
    divisor = slope1 * slope0 * (f1 - f0)
    return -f * (f1 * slope1 - f0 * slope0) / divisor if divisor else math.inf


def _same_sign(a: float, b: float) -> bool:
    return math.copysign(1.0, a) == math.copysign(1.0, b)
