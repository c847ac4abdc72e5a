"""The residual of the logistic loss as one public integer table.

No float function may touch a record: kernels on different machines would disagree in the last bit, and then the
sensitivity would be a matter of trust. The table is worked out once, in decimal arithmetic that is the same
everywhere; a record's residual is a look-up by its integer margin.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE

# Own context: a caller's decimal settings must not move an entry. Each product is off by 1e-60 of itself, and
# 8192 of them by far less than the distance of any entry from a rounding boundary.
_WORK = Context(prec=60, rounding=ROUND_HALF_EVEN)


@lru_cache(maxsize=8)
def residual_table(scale: int) -> NDArray[np.int64]:
    """Integer residuals ``round(scale * (p(margin) - bad))``, half to even.

    Parameters
    ----------
    scale
        Lattice units s per unit of residual.

    Returns
    -------
    NDArray[np.int64]
        Shape (2, 2 * MARGIN_LIMIT + 1), read-only: row 0 for a good, row 1 for a bad; column
        ``margin + MARGIN_LIMIT``. Every entry lies in [-s, s].
    """
    upper = _rounded_probabilities(scale)
    # A bad's residual at a margin is minus a good's at the opposite margin: s (p - 1) = -s p(-margin).
    lower = scale - upper[:0:-1]
    good = np.concatenate([lower, upper])
    table = np.stack([good, -good[::-1]])
    table.setflags(write=False)
    return table


def residuals(table: NDArray[np.int64], margins: NDArray[np.int64], bad: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Look up the residual of every record; margins beyond the table take its end.

    Parameters
    ----------
    table
        From `residual_table`.
    margins
        Shape (n,), in units of 1/1024 logit.
    bad
        Shape (n,): 1 = bad, 0 = good.
    """
    clipped = np.clip(margins, -MARGIN_LIMIT, MARGIN_LIMIT)
    return table[bad.astype(np.intp), clipped + MARGIN_LIMIT]


def _rounded_probabilities(scale: int) -> NDArray[np.int64]:
    """``round(scale * p)`` at margins 0, 1, …, MARGIN_LIMIT."""
    with localcontext(_WORK):
        step = (Decimal(-1) / WEIGHT_SCALE).exp()
        decay, rounded = Decimal(1), []
        for _ in range(MARGIN_LIMIT + 1):
            rounded.append(int((scale / (1 + decay)).to_integral_value(ROUND_HALF_EVEN)))
            decay *= step
    return np.array(rounded, dtype=np.int64)
