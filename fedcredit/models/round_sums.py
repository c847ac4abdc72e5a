"""What a released round says before any model looks at it, and how far one round may go.

Each record's residual stands in one bin of every feature that its institution owns and in one intercept, so a type's
total residual was released many times over, each time under other noise. Weighing those sightings by precision gives
every feature a better total, and the intercepts their gradient.
"""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.scorecard_layout import Layout

Floats = NDArray[np.float64]

# J one-hot blocks, centred, have a correlation matrix with eigenvalues up to J: steps of 2 / J or more can diverge.
_STEP = 1.5
# Intercepts and centred weights hardly interact; half a Newton step damps what is left.
INTERCEPT_STEP = 0.5


def step_length(plan: Layout) -> float:
    """Share of a feature's own Newton step that is taken while all other features move too."""
    return min(1.0, _STEP / max(len(owned) for owned in plan.owned))


def used_slots(plan: Layout, counts: tuple[Floats, ...]) -> tuple[slice, ...]:
    """Per feature the coordinates of its bins; `counts` has one row per bin."""
    return tuple(slice(slots.start, slots.start + len(here)) for slots, here in zip(plan.slots, counts, strict=True))


def agree(plan: Layout, used: tuple[slice, ...], noise_stddev: Floats, sums: Floats) -> Floats:
    """Make one round's sums agree on every type's total residual.

    Parameters
    ----------
    used
        Per feature its coordinates, from `used_slots`.
    noise_stddev
        Shape (layout length,): noise of the round, in residual units.
    sums
        Shape (layout length,), residual units.

    Returns
    -------
    Floats
        Shape (layout length,): each bin takes its share of its feature's correction; intercepts are the totals.
    """
    totals = [_total(plan, kind, used, noise_stddev, sums) for kind in range(len(plan.owned))]
    agreed = sums.copy()
    for owners, slots in zip(plan.owners, used, strict=True):
        here = sums[slots]
        agreed[slots] = here + (sum(totals[kind] for kind in owners) - np.add.reduce(here)) / len(here)
    agreed[plan.first_intercept :] = totals
    return agreed


def ridge_gradient(used: tuple[slice, ...], weights: Floats, prior_stddev: float) -> Floats:
    """Gradient of the ridge on each weight's distance from its feature's mean weight; shape (layout length,)."""
    gradient = np.zeros_like(weights)
    for slots in used:
        here = weights[slots]
        gradient[slots] = 1.0 / prior_stddev**2 * (here - np.add.reduce(here) / len(here))
    return gradient


def _total(plan: Layout, kind: int, used: tuple[slice, ...], noise_stddev: Floats, sums: Floats) -> float:
    """Total residual of one type: its intercept shows it, and so does every feature that no other type owns."""
    at = plan.first_intercept + kind
    seen = [(float(sums[at]), float(noise_stddev[at]) ** 2)]
    seen += [_seen_in(used[index], noise_stddev, sums) for index in plan.owned[kind] if len(plan.owners[index]) == 1]
    return reduce(_combine, seen)[0]


def _seen_in(slots: slice, noise_stddev: Floats, sums: Floats) -> tuple[float, float]:
    here = sums[slots]
    return float(np.add.reduce(here)), len(here) * float(noise_stddev[slots.start]) ** 2


def _combine(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Two estimates of one number, weighted by precision; nobody contributed to one without noise."""
    if a[1] == 0 or b[1] == 0:
        return a if b[1] == 0 else b
    total = a[1] + b[1]
    return (a[0] * b[1] + b[0] * a[1]) / total, a[1] * b[1] / total
