"""Fitting the scorecard: released sums in, next weights out.

A penalised logistic regression on bins. Without noise the rounds are quasi-Newton steps and reach the optimum that
any solver finds. With noise a round is a gradient step through filters that know how much noise there is; the
mean of the second half of the rounds is released, which averages the noise once more.

Weights are kept on the public grid of 1/1024 logit: the gradient that comes back belongs to exactly the weights that
custodians saw.
"""

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.monotone import pool_adjacent_violators
from fedcredit.models.quasi_newton import Pair, direction, extend
from fedcredit.models.scorecard_layout import Layout, layout
from fedcredit.models.scorecard_model import ScorecardModel
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE, ScorecardSpec
from fedcredit.models.scorecard_start import Start, prepare
from fedcredit.models.step_filter import product
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]

# J one-hot blocks, centred, have a correlation matrix with eigenvalues up to J: steps of 2 / J or more can diverge.
_STEP = 1.5
# Intercepts and centred weights hardly interact; half a Newton step damps what is left.
_INTERCEPT_STEP = 0.5
_LONGEST_STEP = 1.0  # logits; a quasi-Newton step beyond it has left the region that its pairs describe


@dataclass(frozen=True, slots=True)
class ScorecardState:
    """The fold of the released rounds.

    Attributes
    ----------
    spec, dictionary
        The public constants that fix all shapes.
    start
        Bins, counts, filters: what followed from preflight.
    noise_stddev
        Shape (layout length,): noise of one released round, in residual units.
    weights
        Shape (layout length,), logits on the public grid: where the next round is taken.
    rounds_done
        Rounds folded so far.
    tail_sum, tail_rounds
        Sum of the iterates of the second half, and how many they are; unused without noise.
    last
        Weights and gradient of the round before; without noise only.
    pairs
        Steps and changes of gradient; without noise only.
    """

    spec: ScorecardSpec
    dictionary: DataDictionary
    start: Start
    noise_stddev: Floats
    weights: Floats
    rounds_done: int
    tail_sum: Floats
    tail_rounds: int
    last: Pair | None
    pairs: tuple[Pair, ...]

    @property
    def layout(self) -> Layout:
        """Where each coordinate lies."""
        return layout(self.spec.max_bins, self.dictionary)

    @property
    def current(self) -> ScorecardModel:
        """The model that custodians take the next gradient on."""
        return ScorecardModel(self.start.bins, _integers(self.weights))

    @property
    def fitted(self) -> ScorecardModel:
        """The model to release: the averaged or converged weights, monotone where the dictionary says so."""
        weights = self.tail_sum / self.tail_rounds if self.tail_rounds else self.weights
        return ScorecardModel(self.start.bins, _integers(_monotone(self, weights)))


def init(spec: ScorecardSpec, dictionary: DataDictionary, preflight: Preflight, noise_stddev: Floats) -> ScorecardState:
    """Start from the released preflight; `noise_stddev` per coordinate of a released round, in residual units."""
    start = prepare(spec, dictionary, preflight, noise_stddev)
    weights = _on_grid(start.weights)
    return ScorecardState(
        spec=spec,
        dictionary=dictionary,
        start=start,
        noise_stddev=noise_stddev,
        weights=weights,
        rounds_done=0,
        tail_sum=np.zeros_like(weights),
        tail_rounds=0,
        last=None,
        pairs=(),
    )


def update(state: ScorecardState, sums: NDArray[np.int64]) -> ScorecardState:
    """Fold one round of released sums; shape (layout length,), lattice units."""
    gradient = sums.astype(np.float64) / state.spec.residual_scale
    advanced = replace(state, rounds_done=state.rounds_done + 1)
    return _filtered_step(advanced, gradient) if state.noise_stddev.any() else _exact_step(advanced, gradient)


def _exact_step(state: ScorecardState, sums: Floats) -> ScorecardState:
    plan = state.layout
    penalty = np.full(plan.length, _ridge(state))
    penalty[plan.first_intercept :] = 0.0
    used = state.start.information > 0
    gradient = np.where(used, sums + _penalty_gradient(state), 0.0)
    pairs = state.pairs
    if state.last is not None:
        pairs = extend(pairs, state.weights - state.last[0], gradient - state.last[1])
    inverse = np.divide(1.0, state.start.information + penalty, out=np.zeros(plan.length), where=used)
    step = direction(gradient, pairs, inverse, _step_length(plan))
    longest = float(np.max(np.abs(step)))
    step = step * (_LONGEST_STEP / max(longest, _LONGEST_STEP))
    return replace(state, weights=_on_grid(state.weights - step), last=(state.weights, gradient), pairs=pairs)


def _filtered_step(state: ScorecardState, sums: Floats) -> ScorecardState:
    plan, weights = state.layout, state.weights.copy()
    totals = _totals(state, sums)
    penalty = _penalty_gradient(state)
    for index, slots in enumerate(plan.slots):
        found = state.start.filters[index]
        used = slice(slots.start, slots.start + len(found))
        agreed = sums[used] + (_owners_total(plan, totals, index)[0] - np.add.reduce(sums[used])) / len(found)
        weights[used] -= _step_length(plan) * product(found, agreed + penalty[used])
    for kind, (total, _) in enumerate(totals):
        at = plan.first_intercept + kind
        weights[at] -= _INTERCEPT_STEP * total / state.start.information[at]
    # Projecting every round, not the last one alone, keeps noise from piling up against the declared order.
    weights = _on_grid(_monotone(state, weights))
    late = 2 * state.rounds_done > state.spec.rounds
    return replace(
        state,
        weights=weights,
        tail_sum=state.tail_sum + weights if late else state.tail_sum,
        tail_rounds=state.tail_rounds + int(late),
    )


def _totals(state: ScorecardState, sums: Floats) -> list[tuple[float, float]]:
    """Per institution type its total residual and the variance of that.

    The intercept shows it, and so does every feature that no other type owns.
    """
    plan = state.layout
    totals = []
    for kind, owned in enumerate(plan.owned):
        at = plan.first_intercept + kind
        seen = [(float(sums[at]), float(state.noise_stddev[at]) ** 2)]
        seen += [_feature_total(state, sums, index) for index in owned if len(plan.owners[index]) == 1]
        totals.append(reduce(_combine, seen))
    return totals


def _feature_total(state: ScorecardState, sums: Floats, index: int) -> tuple[float, float]:
    start, n_bins = state.layout.slots[index].start, len(state.start.counts[index])
    return float(np.add.reduce(sums[start : start + n_bins])), n_bins * float(state.noise_stddev[start]) ** 2


def _combine(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Two estimates of one number, weighted by precision; nobody contributed to one without noise."""
    if a[1] == 0 or b[1] == 0:
        return a if b[1] == 0 else b
    total = a[1] + b[1]
    return (a[0] * b[1] + b[0] * a[1]) / total, a[1] * b[1] / total


def _owners_total(plan: Layout, totals: list[tuple[float, float]], index: int) -> tuple[float, float]:
    owners = [totals[kind] for kind in plan.owners[index]]
    return sum(total for total, _ in owners), sum(variance for _, variance in owners)


def _penalty_gradient(state: ScorecardState) -> Floats:
    """Gradient of the ridge on each weight's distance from its feature's mean weight; shape (layout length,)."""
    gradient = np.zeros_like(state.weights)
    for slots, counts in zip(state.layout.slots, state.start.counts, strict=True):
        used = slice(slots.start, slots.start + len(counts))
        weights = state.weights[used]
        gradient[used] = _ridge(state) * (weights - np.add.reduce(weights) / len(weights))
    return gradient


def _ridge(state: ScorecardState) -> float:
    return 1.0 / state.spec.prior_stddev**2


def _step_length(plan: Layout) -> float:
    return min(1.0, _STEP / max(len(owned) for owned in plan.owned))


def _monotone(state: ScorecardState, weights: Floats) -> Floats:
    """Pool the weights of ordered value bins; the bin of missing values stays apart."""
    pooled = weights.copy()
    for feature, slots, bins in zip(state.dictionary.features, state.layout.slots, state.start.bins, strict=True):
        if feature.monotone == "none":
            continue
        values = slice(slots.start, slots.start + int(bins[:-1].max()) + 1)
        pooled[values] = pool_adjacent_violators(
            weights[values].tolist(),
            state.start.information[values].tolist(),
            increasing=feature.monotone == "increasing",
        )
    return pooled


def _on_grid(weights: Floats) -> Floats:
    return np.asarray(_integers(weights) / WEIGHT_SCALE)


def _integers(weights: Floats) -> NDArray[np.int64]:
    return np.clip(np.rint(weights * WEIGHT_SCALE), -MARGIN_LIMIT, MARGIN_LIMIT).astype(np.int64)
