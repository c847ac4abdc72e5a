r"""Joint privacy loss of a job whose parameters are all fixed in advance: for display beside the ledger's own number.

The privacy loss of several independent releases is the sum of theirs, so its distribution is a convolution, and ε at a
given δ can be read from it about as closely as one likes. A filter over Rényi divergences, which is what a ledger is
gated by, costs some 9 per cent more but stays valid when later jobs depend on the results of earlier ones; for this
number that is not known. Hence nothing is ever allowed because of it (``docs/accounting.md``).

Opacus discretises and convolves, with an error bound that is added to the result. Two things are done here:

* Both directions count, a record that is added and one that is removed. The second is the larger for one release of
  the subsampled Gaussian; that this survives convolution is not proved, so both are computed.
* All unsampled releases are merged into one of the same Σμ², which is exact.

Opacus is imported on first use: an institution's custodian never needs this module.

References
----------
Gopi, Lee, Wutschitz, "Numerical Composition of Differential Privacy", arXiv 2106.02848, Theorem 5.5, Remark 5.6.
Lebeda, Regehr, Kamath, Steinke, "Avoiding Pitfalls for Privacy Accounting of Subsampled Mechanisms under Composition",
arXiv 2405.20769.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedcredit.errors import PrivacyError
from fedcredit.plan import Plan
from fedcredit.privacy import rdp
from fedcredit.privacy.accounting import SAMPLER_SHARE, Accountant
from fedcredit.privacy.rdp import Releases
from fedcredit.privacy.statement import mechanism
from fedcredit.wire.messages import Role

NO_RETRIES: Mapping[Role, int] = MappingProxyType({})
# Beyond it e^ε nears the end of doubles and protects nothing; the Rényi bound is returned there.
LARGEST_EPSILON = 300.0
_RELATIVE_ERROR = 8e-4
_MAX_ERROR = 5e-3
_MOST_POINTS = 2**21
_DELTA_ERROR = 1e-3  # part of δ that pays for cut tails


def installed() -> bool:
    """Whether the library that convolves is there (extra `neural`)."""
    return find_spec("opacus") is not None


def epsilon_of_plan(plan: Plan, kind: str, retries: Mapping[Role, int] = NO_RETRIES) -> float | None:
    """Return the joint ε of an institution's planned messages, if all was fixed in advance; None without noise.

    Parameters
    ----------
    kind
        Type of the institution.
    retries
        Messages sent beyond the planned ones, see :func:`dearest_retries`.
    """
    if plan.privacy.delta is None:
        return None
    return epsilon_of_releases(_releases(plan, kind, retries), plan.privacy.delta * (1 - SAMPLER_SHARE))


def dearest_retries(plan: Plan, kind: str, accountant: Accountant) -> Mapping[Role, int]:
    """Return the whole messages of one phase, paid for by the retry reserve, that raise ε the most.

    Which phase that is, is judged by Rényi divergence; it takes no convolution.

    Parameters
    ----------
    accountant
        The unit in which the ledger counts the reserve.
    """
    if plan.privacy.delta is None:
        return NO_RETRIES
    costs = {role: accountant.cost(mechanism(plan, kind, role)) for role in Role}
    reserve = sum(costs[role] * plan.phases.of(role).rounds for role in Role) * (plan.reserve_factor - 1)
    most = {role: plan.phases.of(role).rounds * (plan.privacy.max_attempts - 1) for role in Role}
    spent = [{role: min(int(reserve / costs[role]), most[role])} for role in Role]
    delta = plan.privacy.delta
    return max(spent, key=lambda retries: rdp.epsilon_of_releases(_releases(plan, kind, retries), delta))


def epsilon_of_releases(releases: Iterable[Releases], delta: float) -> float:
    """Return an upper bound on the ε of independent releases that were all fixed in advance.

    It exceeds the least one by a relative 1e-3 or so, by 1e-2 at most, and by what a grid of two million points cannot
    resolve. It is an upper bound up to the rounding of doubles in a Fourier transform, about 1e-14 of δ's scale 1.

    Raises
    ------
    PrivacyError
        If nothing is released, or a parameter is impossible.
    """
    merged = _merged(releases)
    if not merged:
        raise PrivacyError("releases must name at least one release.")
    return _epsilon(merged, delta)


@dataclass(frozen=True, slots=True)
class _Loss:
    """Privacy loss of one release, N(0, σ²) against the mixture (1 − q) N(0, σ²) + q N(1, σ²).

    It has the mixture's law when a record is removed, and the plain one's when it is `added`.
    """

    rate: float
    noise_multiplier: float
    added: bool

    def cdf(self, loss: NDArray[np.float64]) -> Any:  # noqa: ANN401  (an array, or a number where a number came in)
        """Probability that the loss is at most so much."""
        sigma, q = self.noise_multiplier, self.rate
        with np.errstate(over="ignore", divide="ignore"):
            ratio = np.maximum((np.expm1(-loss if self.added else loss) + q) / q, 0.0)
            # The point of the release at which the mixture's likelihood ratio has that logarithm.
            point = sigma**2 * np.log(ratio) + 0.5
        if self.added:
            return ndtr(-point / sigma)
        return (1 - q) * ndtr(point / sigma) + q * ndtr((point - 1) / sigma)


def _releases(plan: Plan, kind: str, retries: Mapping[Role, int]) -> tuple[Releases, ...]:
    found = []
    for role in Role:
        one = mechanism(plan, kind, role)
        noise_multiplier = math.sqrt(one.noise_variance / one.sensitivity_squared)
        messages = plan.phases.of(role).rounds + retries.get(role, 0)
        found.append(Releases(one.sampling_rate, noise_multiplier, one.steps * messages))
    return tuple(found)


def _merged(releases: Iterable[Releases]) -> tuple[Releases, ...]:
    releases = tuple(releases)
    sampled = tuple(one for one in releases if one.rate != 1)
    mu_squared = sum(one.count / one.noise_multiplier**2 for one in releases if one.rate == 1)
    return (*sampled, Releases(1.0, 1 / math.sqrt(mu_squared), 1)) if mu_squared else sampled


@lru_cache(maxsize=64)  # members of one type share a plan's numbers
def _epsilon(releases: tuple[Releases, ...], delta: float) -> float:
    bound = rdp.epsilon_of_releases(releases, delta)
    if bound > LARGEST_EPSILON:
        return bound
    return max(_directed(releases, delta, bound, added=added) for added in (False, True))


def _directed(releases: tuple[Releases, ...], delta: float, bound: float, *, added: bool) -> float:
    """Convolve in one direction; `bound` is any upper bound, which sets how fine the grid is."""
    from opacus.accountants.analysis import prv  # noqa: PLC0415  (imports torch)

    delta_error = delta * _DELTA_ERROR
    reach, error = _grid(releases, bound, delta_error)
    steps = sum(one.count for one in releases)
    domain = prv.Domain.create_aligned(-reach, reach, error / math.sqrt(steps * math.log(12 / delta_error) / 2))
    losses = (_Loss(one.rate, one.noise_multiplier, added) for one in releases)
    discrete = [
        prv.discretize(prv.TruncatedPrivacyRandomVariable(loss, domain.t_min, domain.t_max), domain) for loss in losses
    ]
    composed = prv.compose_heterogeneous(discrete, [one.count for one in releases])
    return max(0.0, float(composed.compute_epsilon(delta, delta_error, error)[2]))


def _grid(releases: tuple[Releases, ...], bound: float, delta_error: float) -> tuple[float, float]:
    """Return how far the losses reach, by Rényi tail bounds, and the error of ε that is aimed at."""
    steps = sum(one.count for one in releases)
    single = (Releases(one.rate, one.noise_multiplier, 1) for one in releases)
    tails = [rdp.epsilon_of_releases([one], delta_error / (8 * steps)) for one in single]
    reach = 3 + max(rdp.epsilon_of_releases(releases, delta_error / 4), *tails)
    finest = 2 * reach * math.sqrt(steps * math.log(12 / delta_error) / 2) / _MOST_POINTS
    return reach, max(min(_RELATIVE_ERROR * bound, _MAX_ERROR), finest)
