r"""Rényi differential privacy of the Poisson-subsampled Gaussian at integer orders.

For a step that includes each record with probability q and adds noise of σ times the clipping norm, the
Rényi divergence of integer order α ≥ 2 under adding, removing or zeroing one record has the closed form

    log A / (α − 1),   A = Σ_{k=0}^{α} C(α, k) (1 − q)^{α−k} q^k exp((k² − k) / (2σ²)).

The binomial weights sum to 1 and the exponent vanishes for k ≤ 1, so A − 1 is the same sum over k ≥ 2 with
exp(·) − 1. All its terms are positive: nothing cancels, even where A − 1 is 1e-12. Results are raised by a
relative 1e-9, far more than the rounding of the sum, so that they are upper bounds.

A ledger that holds sampled steps is gated at *one* order chosen when it was opened: such a filter stays
valid when later parameters depend on earlier results, which is not known of one that picks the best order
as it goes.

References
----------
Mironov, Talwar, Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530,
Section 3.3.
Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010, Proposition 12.
Feldman, Zrnic, "Individual Privacy Accounting via a Rényi Filter", arXiv 2008.11193.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from scipy.special import logsumexp

from fedcredit.errors import PrivacyError
from fedcredit.privacy.gdp import check_epsilon, check_mu, check_probability

ORDERS: tuple[int, ...] = (*range(2, 65), 72, 80, 96, 112, 128, 160, 192, 256, 384, 512)
MAX_ORDER = 1024
_UP = 1 + 1e-9
_ROUNDING = 1e-12  # of the conversion's few sums, with room to spare


@dataclass(frozen=True, slots=True)
class Releases:
    """`count` Gaussian releases of one kind.

    Attributes
    ----------
    rate
        Inclusion probability q of each record; 1 without sampling.
    noise_multiplier
        Noise standard deviation over the sensitivity.
    count
        Number of releases, at least 1.
    """

    rate: float
    noise_multiplier: float
    count: int


def gaussian(mu: float, order: int) -> float:
    """Return the Rényi divergence αμ²/2 of an unsampled μ-GDP Gaussian release."""
    check_mu(mu)
    _check_order(order)
    return order * mu**2 / 2 * _UP


def subsampled_gaussian(rate: float | Fraction, noise_multiplier: float, order: int, steps: int = 1) -> float:
    """Return the Rényi divergence of `steps` Poisson-subsampled Gaussian releases.

    Parameters
    ----------
    rate
        Inclusion probability q of each record, in (0, 1].
    noise_multiplier
        Noise standard deviation over the sensitivity, above 0.
    order
        Integer α from 2 to 1024.
    steps
        Number of releases, at least 1.
    """
    q = float(rate)
    if not 0 < q <= 1:
        raise PrivacyError(f"rate must lie in (0, 1], got rate={rate}.")
    if not (math.isfinite(noise_multiplier) and noise_multiplier > 0):
        raise PrivacyError(f"noise_multiplier must be a finite number above 0, got {noise_multiplier}.")
    if steps < 1:
        raise PrivacyError(f"steps must be at least 1, got steps={steps}.")
    if q == 1:
        return steps * gaussian(1 / noise_multiplier, order)
    _check_order(order)
    log_excess = logsumexp([_log_term(order, k, q, noise_multiplier) for k in range(2, order + 1)])
    return steps * _log1p_exp(float(log_excess)) / (order - 1) * _UP


def epsilon_from_rdp(rdp: float, order: int, delta: float) -> float:
    """Return an ε ≥ 0 at which a mechanism of Rényi divergence `rdp` at `order` is (ε, δ)-DP."""
    if not rdp >= 0:
        raise PrivacyError(f"rdp must be at least 0, got rdp={rdp}.")
    conversion = _conversion(order, delta)
    return max(0.0, rdp + conversion + _ROUNDING * (rdp + abs(conversion)))


def budget(epsilon: float, delta: float, order: int) -> float:
    """Return the Rényi divergence at `order` that (ε, δ)-DP allows; refuse an order that allows none."""
    check_epsilon(epsilon)
    conversion = _conversion(order, delta)
    allowed = epsilon - conversion - 2 * _ROUNDING * (epsilon + abs(conversion))
    if allowed <= 0:
        raise PrivacyError(f"order {order} can never prove epsilon={epsilon} at delta={delta}; choose a higher order.")
    return allowed


def epsilon_of_releases(releases: Iterable[Releases], delta: float, orders: Sequence[int] = ORDERS) -> float:
    """Return the least ε that any of `orders` proves for releases that were all fixed in advance."""
    releases = tuple(releases)

    def epsilon(order: int) -> float:
        spent = (subsampled_gaussian(one.rate, one.noise_multiplier, order, one.count) for one in releases)
        return epsilon_from_rdp(sum(spent), order, delta)

    return min(epsilon(order) for order in orders)


def _check_order(order: int) -> None:
    if type(order) is not int or not 2 <= order <= MAX_ORDER:
        raise PrivacyError(f"order must be a whole number from 2 to {MAX_ORDER}, got order={order!r}.")


def _conversion(order: int, delta: float) -> float:
    """Return ε minus the divergence: (log(1/δ) + (α−1) log(1 − 1/α) − log α) / (α − 1)."""
    _check_order(order)
    check_probability(delta)
    return math.log1p(-1 / order) - math.log(delta * order) / (order - 1)


def _log_term(order: int, k: int, q: float, noise_multiplier: float) -> float:
    exponent = (k * k - k) / (2 * noise_multiplier**2)
    log_weight = math.log(math.comb(order, k)) + (order - k) * math.log1p(-q) + k * math.log(q)
    return log_weight + exponent + math.log(-math.expm1(-exponent))


def _log1p_exp(x: float) -> float:
    """Return log(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
