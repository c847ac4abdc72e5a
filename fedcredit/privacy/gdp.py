r"""Gaussian differential privacy at sampling rate 1: the whole account of such a job is one number.

A release of sensitivity Δ under Gaussian noise of variance v is exactly μ-GDP with μ² = Δ²/v; adaptive
releases compose to exactly Σμ², and μ-GDP is the same statement as (ε, δ(ε))-DP for every ε ≥ 0 at once,
with

    δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ).

Two rules make an account trustworthy. Events are exact: Δ² and v are integers, so μ² is a
:class:`fractions.Fraction` and adding events never rounds. Conversions are conservative *and proved*: δ(ε)
is evaluated in 320-bit arithmetic and rounded up, and an inverse is returned only after that evaluation has
confirmed it. A fast double-precision estimate merely says where to look.

References
----------
Dong, Roth, Su, "Gaussian Differential Privacy", arXiv 1905.02383, Corollary 2.13 and Section 3.
Balle, Wang, "Improving the Gaussian Mechanism for Differential Privacy", arXiv 1805.06530, Theorem 8.
Smith, Thakurta, "Fully Adaptive Composition for Gaussian Differential Privacy", arXiv 2210.17520.
"""

import math
from collections.abc import Callable
from fractions import Fraction

from mpmath import libmp
from scipy.special import log_ndtr

from fedcredit.errors import PrivacyError
from fedcredit.privacy.brent import root

MIN_MU = 1e-30
MAX_MU = 1e6
# The two terms of δ(ε) agree in at most ~110 leading bits (μ ≥ 1e-30, |argument| ≤ 40), and erfc amplifies a
# relative error of its argument by at most 2(40 + 1e6)² < 2^41; 320 bits leave an error far below a double's.
_PROOF_BITS = 320
# Beyond 40 standard deviations Φ is below 2^-1074, the smallest positive double.
_TAIL_STDDEVS = 40.0
_SMALLEST_POSITIVE = math.ulp(0.0)


def check_epsilon(epsilon: float) -> None:
    """Refuse an ε that is not a finite number above 0."""
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise PrivacyError(f"epsilon must be a finite number above 0, got epsilon={epsilon}; choose one, such as 1.0.")


def check_probability(delta: float) -> None:
    """Refuse a δ that is not strictly between 0 and 1."""
    if not 0 < delta < 1:
        raise PrivacyError(f"delta must lie strictly between 0 and 1, got delta={delta}; choose one well below 1/N.")


def check_delta(delta: float, n: int) -> None:
    """Refuse a δ at which publishing one of `n` records outright would count as private.

    Parameters
    ----------
    delta
        The δ of a ledger or plan.
    n
        Public number of records (or persons) that it protects.
    """
    check_probability(delta)
    _check_population(n)
    if delta >= 1 / n:
        raise PrivacyError(
            f"delta must be below 1/N, got delta={delta} for N={n}: publishing one whole record at random "
            f"would meet it; choose at most {default_delta(n):.3g}."
        )


def default_delta(n: int) -> float:
    """Return the δ used when none is asked for: the smaller of 1e-6 and 1/(10 N^1.1)."""
    _check_population(n)
    return min(1e-6, 0.1 * math.pow(n, -1.1))


def delta_of(epsilon: float, mu: float) -> float:
    """Return an upper bound on δ(ε) of a μ-GDP mechanism, within two roundings of the exact value.

    Parameters
    ----------
    epsilon
        ε ≥ 0. At 0 the result is the total variation distance.
    mu
        0 (nothing released) or a number in [`MIN_MU`, `MAX_MU`].

    Returns
    -------
    float
        δ in [0, 1]. An exact value too small for a double gives the smallest positive double.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PrivacyError(f"epsilon must be a finite number of at least 0, got epsilon={epsilon}.")
    check_mu(mu)
    if mu == 0:
        return 0.0
    stddevs = epsilon / mu - mu / 2
    if abs(stddevs) > _TAIL_STDDEVS:
        return _SMALLEST_POSITIVE if stddevs > 0 else 1.0
    return min(1.0, math.nextafter(_delta_high_precision(epsilon, mu), math.inf))


def epsilon_of(mu: float, delta: float) -> float:
    """Return an ε ≥ 0, proved by :func:`delta_of`, at which a μ-GDP mechanism is (ε, δ)-DP.

    It exceeds the least such ε by a relative 1e-7 at most.
    """
    check_mu(mu)
    check_probability(delta)
    if delta_of(0.0, mu) <= delta:
        return 0.0
    high = mu
    while delta_of(high, mu) > delta:
        high *= 2
    start = _root(lambda epsilon: _log_delta(epsilon, mu) - math.log(delta), 0.0, high)
    return _first_proved(start, 1.0, lambda epsilon: delta_of(epsilon, mu) <= delta)


def mu_of(epsilon: float, delta: float) -> float:
    """Return a μ, proved by :func:`delta_of`, such that every μ-GDP mechanism is (ε, δ)-DP.

    It falls short of the greatest such μ by a relative 1e-7 at most.
    """
    check_epsilon(epsilon)
    check_probability(delta)
    low = 1.0
    while delta_of(epsilon, low) > delta:
        low /= 2
        if low < MIN_MU:
            raise PrivacyError(f"no usable noise gives epsilon={epsilon} at delta={delta}; raise one of them.")
    high = 2 * low
    while delta_of(epsilon, high) <= delta:
        low, high = high, 2 * high
        if high > MAX_MU:
            raise PrivacyError(f"epsilon={epsilon} at delta={delta} protects nothing; choose a smaller epsilon.")
    start = _root(lambda mu: _log_delta(epsilon, mu) - math.log(delta), low, high)
    return _first_proved(start, -1.0, lambda mu: delta_of(epsilon, mu) <= delta)


def mu_squared(sensitivity_squared: int, noise_variance: int) -> Fraction:
    """Return the exact μ² = Δ²/v of one Gaussian release.

    Parameters
    ----------
    sensitivity_squared
        Squared L2 sensitivity, in squared lattice units, at least 0.
    noise_variance
        Variance of the noise before rounding, in squared lattice units, at least 1.
    """
    _check_count("sensitivity_squared", sensitivity_squared, 0)
    _check_count("noise_variance", noise_variance, 1)
    return Fraction(sensitivity_squared, noise_variance)


def noise_variance_for(sensitivity_squared: int, mu_squared: float | Fraction) -> int:
    """Return the least integer variance at which a release costs no more than `mu_squared`, exactly.

    Parameters
    ----------
    sensitivity_squared
        Squared L2 sensitivity, in squared lattice units, at least 1.
    mu_squared
        What the release may cost, above 0. A float is taken for the exact value that it holds.
    """
    _check_count("sensitivity_squared", sensitivity_squared, 1)
    if not (math.isfinite(mu_squared) and mu_squared > 0):
        raise PrivacyError(f"mu_squared must be a finite number above 0, got mu_squared={mu_squared}.")
    return math.ceil(sensitivity_squared / Fraction(mu_squared))


def budget_mu_squared(epsilon: float, delta: float) -> Fraction:
    """Return the total μ², an exact fraction, that (ε, δ)-DP allows to be spent.

    A ledger whose exact Σμ² stays at or below it is (ε, δ)-DP.
    """
    return Fraction(mu_of(epsilon, delta)) ** 2


def mu_from_squared(mu_squared: Fraction) -> float:
    """Return the square root of an exact Σμ², rounded up: the μ to report or give to :func:`epsilon_of`."""
    if mu_squared < 0:
        raise PrivacyError(f"mu_squared must be at least 0, got mu_squared={mu_squared}.")
    mu = math.sqrt(mu_squared)
    while Fraction(mu) ** 2 < mu_squared:
        mu = math.nextafter(mu, math.inf)
    return mu


def check_mu(mu: float) -> None:
    """Refuse a μ that is neither 0 nor in [`MIN_MU`, `MAX_MU`]."""
    if not (mu == 0 or MIN_MU <= mu <= MAX_MU):
        raise PrivacyError(f"mu must be 0 or lie between {MIN_MU} and {MAX_MU}, got mu={mu}.")


def _check_population(n: int) -> None:
    _check_count("N", n, 1)


def _check_count(name: str, value: int, least: int) -> None:
    """Refuse anything but a Python integer: a guarantee must not depend on how a float was rounded."""
    if type(value) is not int or value < least:
        raise PrivacyError(f"{name} must be a whole number of at least {least}, got {name}={value!r}.")


def _delta_high_precision(epsilon: float, mu: float) -> float:
    """Evaluate δ(ε) with `_PROOF_BITS` bits, as (erfc(a) − e^ε erfc(b)) / 2, and round to the nearest double.

    The stateless functions of libmp are used because an mpmath context is not safe to share between threads.
    """
    bits = _PROOF_BITS
    ratio = libmp.mpf_div(libmp.from_float(epsilon), libmp.from_float(mu), bits)
    half = libmp.mpf_shift(libmp.from_float(mu), -1)
    root_two = libmp.mpf_sqrt(libmp.from_int(2), bits)
    near = libmp.mpf_erfc(libmp.mpf_div(libmp.mpf_sub(ratio, half, bits), root_two, bits), bits)
    far = libmp.mpf_erfc(libmp.mpf_div(libmp.mpf_add(ratio, half, bits), root_two, bits), bits)
    weighted = libmp.mpf_mul(libmp.mpf_exp(libmp.from_float(epsilon), bits), far, bits)
    return float(libmp.to_float(libmp.mpf_shift(libmp.mpf_sub(near, weighted, bits), -1)))


def _log_delta(epsilon: float, mu: float) -> float:
    """Estimate log δ(ε) in double precision; only ever a starting point for a proof."""
    near = float(log_ndtr(mu / 2 - epsilon / mu)) if mu > 0 else -math.inf
    far = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
    return near + math.log(-math.expm1(far - near)) if far < near else -1e300


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return root(function, low, high, xtol=high * 1e-14, rtol=1e-14)


def _first_proved(start: float, direction: float, proved: Callable[[float], bool]) -> float:
    """Move `start` in the safe direction, by doubling relative steps, until `proved` holds."""
    value, step = start, 1e-14
    while not proved(value):
        value = start * (1 + direction * step)
        step *= 2
    return value
