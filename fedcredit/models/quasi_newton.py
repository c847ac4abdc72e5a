"""Quasi-Newton directions for rounds without noise, where differences of gradients are exact curvature.

With noise such differences are noise; `scorecard` then takes filtered gradient steps instead.

References
----------
Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35, 1980.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]


def inner(a: Floats, b: Floats) -> float:
    """Inner product in a fixed order of additions."""
    return float(np.add.reduce(a * b))


def extend(pairs: tuple[Pair, ...], step: Floats, change: Floats) -> tuple[Pair, ...]:
    """Append a step and the gradient's change along it, unless it shows no positive curvature."""
    return (*pairs, (step, change)) if inner(step, change) > 0 else pairs


def direction(gradient: Floats, pairs: tuple[Pair, ...], inverse_curvature: Floats, first_step: float) -> Floats:
    """Approximate ``H^-1 gradient`` by the two-loop recursion.

    Parameters
    ----------
    gradient
        Shape (d,).
    pairs
        Steps and changes of gradient so far, oldest first.
    inverse_curvature
        Shape (d,): inverse diagonal curvature; 0 freezes a coordinate.
    first_step
        Factor on `inverse_curvature` until there is a pair.
    """
    rest = gradient
    shares = []
    for step, change in reversed(pairs):
        share = inner(step, rest) / inner(step, change)
        shares.append(share)
        rest = rest - share * change
    found = (_length(pairs[-1], inverse_curvature) if pairs else first_step) * inverse_curvature * rest
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        found = found + step * (share - inner(change, found) / inner(step, change))
    return found


def _length(pair: Pair, inverse_curvature: Floats) -> float:
    step, change = pair
    return inner(step, change) / inner(change, inverse_curvature * change)
