"""A round without noise: the weights of all bins at which a quasi-Newton step ends.

Shared by the families whose model is one table per feature; the scorecard takes the table as it is, the additive
network fits its networks to it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.quasi_newton import Pair, direction, extend
from fedcredit.models.round_sums import ridge_gradient, step_length
from fedcredit.models.scorecard_layout import Layout

Floats = NDArray[np.float64]

_LONGEST_STEP = 1.0  # logits; a quasi-Newton step beyond it has left the region that its pairs describe


@dataclass(frozen=True, slots=True)
class Descent:
    """What a quasi-Newton method remembers.

    Attributes
    ----------
    last
        Weights and gradient of the round before.
    pairs
        Steps and changes of gradient.
    """

    last: Pair | None = None
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Curvature:
    """The loss as far as it is known beforehand.

    Attributes
    ----------
    layout, used
        Where each coordinate lies, and per feature the coordinates of its bins.
    information
        Shape (layout length,): curvature in each weight; 0 on unused coordinates.
    prior_stddev
        Of the Gaussian prior on a weight, logits.
    """

    layout: Layout
    used: tuple[slice, ...]
    information: Floats
    prior_stddev: float


def exact_target(known: Curvature, descent: Descent, weights: Floats, sums: Floats) -> tuple[Floats, Descent]:
    """Where the weights should go, and what to remember.

    Parameters
    ----------
    weights
        Shape (layout length,), logits: where the round was taken.
    sums
        Shape (layout length,), residual units.
    """
    plan = known.layout
    penalty = np.full(plan.length, 1.0 / known.prior_stddev**2)
    penalty[plan.first_intercept :] = 0.0
    used = known.information > 0
    gradient = np.where(used, sums + ridge_gradient(known.used, weights, known.prior_stddev), 0.0)
    pairs = descent.pairs
    if descent.last is not None:
        pairs = extend(pairs, weights - descent.last[0], gradient - descent.last[1])
    inverse = np.divide(1.0, known.information + penalty, out=np.zeros(plan.length), where=used)
    step = direction(gradient, pairs, inverse, step_length(plan))
    longest = float(np.max(np.abs(step)))
    step = step * (_LONGEST_STEP / max(longest, _LONGEST_STEP))
    return weights - step, Descent((weights, gradient), pairs)
