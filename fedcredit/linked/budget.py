"""Two jobs, one budget: the epsilons of a base and of a linked job whose costs together meet a target.

Both jobs are charged to one ledger, in which squared mu add up; epsilons do not. So the target's cost is split, and
each part is turned back into the largest epsilon that it pays for.
"""

from fractions import Fraction

from fedcredit.errors import PrivacyError
from fedcredit.planning import BudgetShares
from fedcredit.privacy.accounting import GaussianAccountant

SHARES = BudgetShares(preflight=15, train=69, evaluate=6)
"""Of the linked job: its one message is worth more rounds than preflight, which places its bins."""

_EPSILON_STEPS = 10**6


def split_epsilon(epsilon: float, delta: float, percent: int) -> tuple[float, float]:
    """Epsilon of the base and of the linked job, in millionths and rounded down.

    Parameters
    ----------
    epsilon, delta
        Of both together.
    percent
        The linked job's share of the whole cost.

    Raises
    ------
    PrivacyError
        If the share leaves one of the jobs nothing, or epsilon and delta are unusable.
    """
    require_share(percent)
    accountant = GaussianAccountant.for_target(epsilon, delta)
    base, linked = (_largest_epsilon(accountant, epsilon, delta, share) for share in (100 - percent, percent))
    return base, linked


def require_share(percent: int) -> None:
    """Check that a share leaves both jobs something.

    Raises
    ------
    PrivacyError
        If it does not.
    """
    if not 1 <= percent <= 99:
        raise PrivacyError(f"the linked job's share of the cost must be 1 to 99 percent, got {percent}.")


def epsilon_together(first: float, second: float, delta: float) -> float:
    """Epsilon of two jobs charged to one ledger, at the same delta."""
    total = sum((GaussianAccountant.for_target(one, delta).budget for one in (first, second)), Fraction(0))
    return GaussianAccountant(total).epsilon(total, delta) or 0.0


def _largest_epsilon(accountant: GaussianAccountant, epsilon: float, delta: float, percent: int) -> float:
    """The largest epsilon, in millionths, whose cost is at most a share of the accountant's budget."""
    share = accountant.budget * percent / 100
    steps = int(epsilon * _EPSILON_STEPS)
    low = 0
    while steps - low > 1:
        middle = (low + steps) // 2
        low, steps = (middle, steps) if accountant.target(middle / _EPSILON_STEPS, delta) <= share else (low, middle)
    return low / _EPSILON_STEPS
