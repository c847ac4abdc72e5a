"""Shares of one noise: every member of an attempt adds a part, and the honest parts alone are the planned noise.

Of n members, t may collude with the coordinator and take their own parts off again. So each adds rounded Gaussian noise
of variance ⌈σ²/(n − t)⌉, and the n − t parts that nobody else knows sum to σ² or more, whatever the others do, their
own noise left out included.

A sum of rounded Gaussians is not a rounded Gaussian, but next to one: in total variation it lies within
:func:`sum_slack` of a randomised function of (data + Gaussian) that knows neither the data nor the noise by
themselves. ``docs/noise-shares.md`` proves that, and everything else that is computed here.

References
----------
Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism", arXiv 2102.06387 (noise shares under secure
aggregation; another law).
Dong, Roth, Su, "Gaussian Differential Privacy", arXiv 1905.02383 (post-processing).
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from fedcredit.errors import PrivacyError
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.gdp import check_epsilon
from fedcredit.privacy.rounded_gaussian import MIN_NOISE_VARIANCE, MIN_SHARE_STDDEV
from fedcredit.roster import FEWEST_MEMBERS
from fedcredit.wire.messages import Role

_SMALLEST_POSITIVE = math.ulp(0.0)
# Double precision loses far less of any logarithm here.
_ROUNDING = 1e-12


def fewest_members(colluders: int) -> int:
    """Fewest members of a sum with noise shares: three, and two honest ones among them."""
    return max(FEWEST_MEMBERS, colluders + 2)


def check_members(members: int, colluders: int) -> None:
    """Refuse a roster that is too small to share noise.

    Raises
    ------
    PrivacyError
        If there are fewer than `fewest_members`, or `colluders` is negative.
    """
    if colluders < 0:
        raise PrivacyError(f"colluders must be at least 0, got colluders={colluders}.")
    fewest = fewest_members(colluders)
    if members < fewest:
        raise PrivacyError(
            f"distributed noise against {colluders} colluding institution(s) needs {fewest} institutions or more, got "
            f"{members}; use privacy.placement=local, or add institutions."
        )


def share_variance(noise_variance: int, members: int, colluders: int) -> int:
    """Variance of the rounded Gaussian that each member of an attempt adds: ⌈σ²/(n − t)⌉.

    Parameters
    ----------
    noise_variance
        σ², what the shares of all but `colluders` members must sum to, in squared lattice units.
    members
        Number n of members of the attempt.
    colluders
        Number t of them whose shares the coordinator may know, or that add none.

    Raises
    ------
    PrivacyError
        If the members are too few, or a share would be below 64² squared lattice units.
    """
    check_members(members, colluders)
    share = -(-noise_variance // (members - colluders))
    if share < MIN_NOISE_VARIANCE:
        raise PrivacyError(
            f"noise_variance={noise_variance} in {members - colluders} shares gives {share} each, below "
            f"{MIN_SHARE_STDDEV}^2 squared lattice units; lower epsilon, or use privacy.placement=local."
        )
    return share


def own_noise_variance(plan: Plan, kind: str, role: Role, n_members: int) -> int:
    """Variance of the noise that one institution adds to one message.

    Parameters
    ----------
    kind
        Its type.
    n_members
        Number of members of this attempt, not of the plan's roster: who stays adds more when others drop out.

    Raises
    ------
    PrivacyError
        Under distributed noise, as `share_variance`.
    """
    planned = plan.phases.of(role).noise_variance[kind]
    if plan.privacy.placement is not Placement.DISTRIBUTED:
        return planned
    return share_variance(planned, n_members, plan.privacy.colluders)


def least_noise(members: int, max_drops: int, colluders: int, corrupt: Callable[[int], int]) -> Fraction:
    """Least noise that an observer faces in any attempt, in parts of σ².

    Attempts ask the whole roster or any part of it that is allowed, and a smaller one may be the better one to attack.

    Parameters
    ----------
    members, max_drops
        Size of the plan's roster, and how many of it an attempt may leave out.
    colluders
        Number t that the shares are sized for.
    corrupt
        Number of members of an attempt whose shares the observer knows, by the attempt's size.

    Raises
    ------
    PrivacyError
        As `check_members`.
    """
    check_members(members, colluders)
    attempts = range(max(fewest_members(colluders), members - max_drops), members + 1)
    return min(Fraction(size - corrupt(size), size - colluders) for size in attempts)


def sum_slack(share_variance: int, members: int) -> float:
    """Bound the distance between a sum of shares and a function of data plus one Gaussian.

    Parameters
    ----------
    share_variance
        Variance v of each share.
    members
        Number n of members; the bound holds for the sums of any two or more of them too.

    Returns
    -------
    float
        Total variation per coordinate, in (0, 1]; a bound too small for a double gives the smallest positive one.
    """
    return max(_SMALLEST_POSITIVE, math.exp(_log_sum_slack(share_variance, members)))


def sum_delta(epsilon: float, draws: int, share_variance: int, members: int) -> float:
    """Return the δ to subtract because a sum of shares is not one Gaussian: (1 + e^ε) · draws · slack, rounded up.

    Parameters
    ----------
    epsilon
        The ε at which δ is claimed.
    draws
        Number of coordinates, summed over all messages that the claim covers.
    share_variance, members
        Smallest share and largest roster among those messages.

    Returns
    -------
    float
        In [0, 1]. The sampler's own δ counts the draws of every member, and comes on top.
    """
    check_epsilon(epsilon)
    if draws < 0:
        raise PrivacyError(f"draws must be at least 0, got draws={draws}.")
    if draws == 0:
        return 0.0
    log_delta = float(np.logaddexp(0.0, epsilon)) + math.log(draws) + _log_sum_slack(share_variance, members)
    return max(_SMALLEST_POSITIVE, math.exp(min(0.0, log_delta + _ROUNDING)))


def _log_sum_slack(share_variance: float, members: int) -> float:
    """Logarithm of min(1, (e^y − 1)/2), y = 2nθ/(1 − θ), θ = exp(−π²v), rounded up; below y = 1, e^y − 1 ≤ y(1 + y)."""
    if members < 2 or share_variance <= 0:
        raise PrivacyError(
            f"noise is shared by 2 members or more, of positive variance; got members={members}, "
            f"share_variance={share_variance}."
        )
    log_theta = -(math.pi**2) * share_variance * (1 - _ROUNDING)
    log_y = math.log(2 * members) + log_theta - math.log(-math.expm1(log_theta)) + _ROUNDING
    if log_y >= 0:
        return 0.0
    return log_y + math.log1p(math.exp(log_y)) - math.log(2) + _ROUNDING
