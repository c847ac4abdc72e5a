"""Fitting the scorecard: released sums in, next weights out.

A penalised logistic regression on bins. Without noise the rounds are quasi-Newton steps and reach the optimum that
any solver finds. With noise a round is a gradient step through filters that know how much noise there is; the
mean of the second half of the rounds is released, which averages the noise once more.

Weights are kept on the public grid of 1/1024 logit: the gradient that comes back belongs to exactly the weights that
custodians saw.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.exact_round import Curvature, Descent, exact_target
from fedcredit.models.monotone import pool_adjacent_violators
from fedcredit.models.round_sums import INTERCEPT_STEP, agree, ridge_gradient, step_length, used_slots
from fedcredit.models.scorecard_layout import Layout, layout
from fedcredit.models.scorecard_model import ScorecardModel, on_grid, to_integers
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.models.scorecard_start import Start, prepare
from fedcredit.models.step_filter import gradient_filter, prior_covariance, product
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScorecardState:
    """The fold of the released rounds.

    Attributes
    ----------
    spec, dictionary
        The public constants that fix all shapes.
    start
        Bins, counts, starting weights: what followed from preflight.
    filters
        Per feature shape (B, B): step filter; empty without noise.
    noise_stddev
        Shape (layout length,): noise of one released round, in residual units.
    weights
        Shape (layout length,), logits on the public grid: where the next round is taken.
    rounds_done
        Rounds folded so far.
    tail_sum, tail_rounds
        Sum of the iterates of the second half, and how many they are; unused without noise.
    descent
        What the rounds so far told about curvature; without noise only.
    """

    spec: ScorecardSpec
    dictionary: DataDictionary
    start: Start
    filters: tuple[Floats, ...]
    noise_stddev: Floats
    weights: Floats
    rounds_done: int
    tail_sum: Floats
    tail_rounds: int
    descent: Descent

    @property
    def layout(self) -> Layout:
        """Where each coordinate lies."""
        return layout(self.spec.max_bins, self.dictionary)

    @property
    def current(self) -> ScorecardModel:
        """The model that custodians take the next gradient on."""
        return ScorecardModel(self.start.bins, to_integers(self.weights))

    @property
    def fitted(self) -> ScorecardModel:
        """The model to release: the averaged or converged weights, monotone where the dictionary says so."""
        weights = self.tail_sum / self.tail_rounds if self.tail_rounds else self.weights
        return ScorecardModel(self.start.bins, to_integers(_monotone(self, weights)))


def init(spec: ScorecardSpec, dictionary: DataDictionary, preflight: Preflight, noise_stddev: Floats) -> ScorecardState:
    """Start from the released preflight; `noise_stddev` per coordinate of a released round, in residual units."""
    start = prepare(spec, dictionary, preflight)
    weights = on_grid(start.weights)
    return ScorecardState(
        spec=spec,
        dictionary=dictionary,
        start=start,
        filters=_filters(spec, dictionary, start, noise_stddev) if noise_stddev.any() else (),
        noise_stddev=noise_stddev,
        weights=weights,
        rounds_done=0,
        tail_sum=np.zeros_like(weights),
        tail_rounds=0,
        descent=Descent(),
    )


def update(state: ScorecardState, sums: NDArray[np.int64]) -> ScorecardState:
    """Fold one round of released sums; shape (layout length,), lattice units."""
    gradient = sums.astype(np.float64) / state.spec.residual_scale
    advanced = replace(state, rounds_done=state.rounds_done + 1)
    return _filtered_step(advanced, gradient) if state.noise_stddev.any() else _exact_step(advanced, gradient)


def _exact_step(state: ScorecardState, sums: Floats) -> ScorecardState:
    used = used_slots(state.layout, state.start.counts)
    known = Curvature(state.layout, used, state.start.information, state.spec.prior_stddev)
    target, descent = exact_target(known, state.descent, state.weights, sums)
    return replace(state, weights=on_grid(target), descent=descent)


def _filtered_step(state: ScorecardState, sums: Floats) -> ScorecardState:
    plan, weights = state.layout, state.weights.copy()
    used = used_slots(plan, state.start.counts)
    gradient = agree(plan, used, state.noise_stddev, sums)
    gradient += ridge_gradient(used, weights, state.spec.prior_stddev)
    for found, slots in zip(state.filters, used, strict=True):
        weights[slots] -= step_length(plan) * product(found, gradient[slots])
    intercepts = slice(plan.first_intercept, plan.length)
    weights[intercepts] -= INTERCEPT_STEP * gradient[intercepts] / state.start.information[intercepts]
    # Projecting every round, not the last one alone, keeps noise from piling up against the declared order.
    weights = on_grid(_monotone(state, weights))
    late = 2 * state.rounds_done > state.spec.rounds
    return replace(
        state,
        weights=weights,
        tail_sum=state.tail_sum + weights if late else state.tail_sum,
        tail_rounds=state.tail_rounds + int(late),
    )


def _filters(spec: ScorecardSpec, dictionary: DataDictionary, start: Start, noise_stddev: Floats) -> tuple[Floats, ...]:
    filters = []
    for index, slots in enumerate(used_slots(layout(spec.max_bins, dictionary), start.counts)):
        information = start.information[slots]
        variance = noise_stddev[slots] ** 2 / spec.rounds + information
        prior = prior_covariance(start.prior_variance[index], len(information), start.ordered[index])
        filters.append(gradient_filter(information, variance, prior))
    return tuple(filters)


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
