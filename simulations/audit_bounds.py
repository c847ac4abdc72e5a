"""Lower bounds on privacy loss from what an attacker got right: pure arithmetic, no data.

References
----------
Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", arXiv 2305.08846 (many canaries in one run).
Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run", arXiv 2410.22235 (the same guesses, bound
for one curve f; here that of a Gaussian).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

_MOST_MU = 50.0


def gaussian_mu_bound(included: Floats, excluded: Floats, level: float) -> float:
    """A μ that a Gaussian pair with these scores exceeds, but for a chance of 1 − `level`.

    Scores with and without the canary are normal with one variance; the distance of their means in standard deviations
    is μ. The two-sample t statistic is noncentral t, whose noncentrality is inverted exactly.

    Returns
    -------
    float
        At least 0.
    """
    n, m = included.size, excluded.size
    pooled = (included.var(ddof=1) * (n - 1) + excluded.var(ddof=1) * (m - 1)) / (n + m - 2)
    factor = math.sqrt(n * m / (n + m))
    found = (included.mean() - excluded.mean()) / math.sqrt(pooled) * factor

    def surplus(mu: float) -> float:
        return float(stats.nct.sf(found, n + m - 2, mu * factor)) - (1 - level)

    if surplus(1e-9) > 0:
        return 0.0
    return float(optimize.brentq(surplus, 1e-9, max(2.0, 2 * found / factor)))


def one_run_epsilon_bound(guesses: int, right: int, canaries: int, delta: float, level: float) -> float:
    """An ε that a mechanism exceeds which lets so many of an attacker's guesses be right (Steinke et al., Theorem 5.2).

    Parameters
    ----------
    guesses, right
        Canaries about which a guess was made, and guesses that were right.
    canaries
        All canaries, each in or out by a fair coin.
    """
    low, high = 0.0, 50.0
    if _one_run_p(guesses, right, canaries, low, delta) > 1 - level:
        return 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _one_run_p(guesses, right, canaries, middle, delta) <= 1 - level else (low, middle)
        )
    return low


def _one_run_p(guesses: int, right: int, canaries: int, epsilon: float, delta: float) -> float:
    """Greatest chance of that many right guesses under (ε, δ)."""
    law = stats.binom(guesses, 1 / (1 + math.exp(-epsilon)))
    beyond = float(law.sf(right - 1))
    if delta == 0:
        return beyond
    below = np.cumsum(law.pmf(right - 1 - np.arange(right)))
    worst = float(np.max(below / np.arange(1, right + 1), initial=0.0))
    return min(1.0, beyond + 2 * canaries * delta * worst)


def one_run_mu_bound(guesses: int, right: int, level: float) -> float:
    """A μ that a mechanism exceeds of whose canaries so many are guessed right (Mahloujifar et al., Algorithm 3)."""
    if not _refuted(1e-6, guesses, right, 1 - level):
        return 0.0
    low, high = 1e-6, _MOST_MU
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if _refuted(middle, guesses, right, 1 - level) else (low, middle)
    return low


def _refuted(mu: float, guesses: int, right: int, threshold: float) -> bool:
    """Whether μ-GDP allows that many right guesses with less than a chance of `threshold`."""
    if right >= guesses:
        right = guesses - 1  # the recursion needs a wrong one; fewer right ones refute less
    wrong_mass = threshold * (guesses - right) / guesses
    right_mass = threshold * right / guesses
    for i in range(right - 1, -1, -1):
        more = max(wrong_mass, float(ndtr(ndtri(min(right_mass, 1.0)) - mu)))
        right_mass += i / (guesses - i) * (more - wrong_mass)
        wrong_mass = more
        if right_mass + wrong_mass > 1:
            return True
    return False
