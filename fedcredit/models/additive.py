"""Fitting the additive network: released sums in, next networks out.

A custodian sees a table of integer weights, one per bin, and answers as it answers a scorecard: residuals summed per
bin. Backpropagation starts from those sums, at the coordinator, so it is post-processing: the networks cost no privacy,
need no clipping, and the noise that they do not believe in is smoothed away by their shape.

A round is one damped Gauss-Newton step per network: with noise towards the table that each feature's own gradient asks
for, without noise towards the one at which a quasi-Newton step over all features ends. What is released is the mean of
the networks' values over the second half of the rounds: values, since a mean of parameters belongs to no curve between.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.additive_inputs import network_inputs
from fedcredit.models.additive_network import Inputs, Network, initial, moved, values
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.additive_step import newton_step
from fedcredit.models.exact_round import Curvature, Descent, exact_target
from fedcredit.models.round_sums import INTERCEPT_STEP, agree, ridge_gradient, step_length, used_slots
from fedcredit.models.scorecard_layout import Layout, layout
from fedcredit.models.scorecard_model import ScorecardModel, on_grid, to_integers
from fedcredit.models.scorecard_start import Start, prepare
from fedcredit.preflight import Preflight

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AdditiveState:
    """The fold of the released rounds.

    Attributes
    ----------
    spec, dictionary
        The public constants that fix all shapes.
    start
        Bins, counts, starting curves: what followed from preflight.
    inputs
        Per feature what its network reads.
    noise_stddev
        Shape (layout length,): noise of one released round, in residual units.
    networks
        Per feature its network.
    weights
        Shape (layout length,), logits on the public grid: the networks' values, and the intercepts.
    rounds_done
        Rounds folded so far.
    tail_sum, tail_rounds
        Sum of the weights of the second half, and how many they are; unused without noise.
    descent
        What the rounds so far told about curvature; without noise only.
    """

    spec: AdditiveSpec
    dictionary: DataDictionary
    start: Start
    inputs: tuple[Inputs, ...]
    noise_stddev: Floats
    networks: tuple[Network, ...]
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
    def used(self) -> tuple[slice, ...]:
        """Per feature the coordinates of its bins."""
        return used_slots(self.layout, self.start.counts)

    @property
    def current(self) -> ScorecardModel:
        """The table that custodians take the next gradient on."""
        return ScorecardModel(self.start.bins, to_integers(self.weights))

    @property
    def fitted(self) -> ScorecardModel:
        """The table to release; a mean of monotone curves is monotone."""
        weights = self.tail_sum / self.tail_rounds if self.tail_rounds else self.weights
        return ScorecardModel(self.start.bins, to_integers(weights))


def init(spec: AdditiveSpec, dictionary: DataDictionary, preflight: Preflight, noise_stddev: Floats) -> AdditiveState:
    """Start from the released preflight; `noise_stddev` per coordinate of a released round, in residual units."""
    start = prepare(spec, dictionary, preflight)
    used = used_slots(layout(spec.max_bins, dictionary), start.counts)
    inputs = network_inputs(dictionary, start, used)
    blank = AdditiveState(
        spec=spec,
        dictionary=dictionary,
        start=start,
        inputs=inputs,
        noise_stddev=noise_stddev,
        networks=(),
        weights=start.weights,
        rounds_done=0,
        tail_sum=np.zeros_like(start.weights),
        tail_rounds=0,
        descent=Descent(),
    )
    return _with(blank, tuple(initial(one, spec.hidden_units) for one in inputs), start.weights)


def update(state: AdditiveState, sums: NDArray[np.int64]) -> AdditiveState:
    """Fold one round of released sums; shape (layout length,), lattice units."""
    gradient = sums.astype(np.float64) / state.spec.residual_scale
    advanced = replace(state, rounds_done=state.rounds_done + 1)
    return _noisy_step(advanced, gradient) if state.noise_stddev.any() else _exact_step(advanced, gradient)


def _noisy_step(state: AdditiveState, sums: Floats) -> AdditiveState:
    plan, used, information = state.layout, state.used, state.start.information
    gradient = agree(plan, used, state.noise_stddev, sums)
    gradient += ridge_gradient(used, state.weights, state.spec.prior_stddev)
    # Noise over the whole training, plus what the records themselves scatter.
    variance = state.noise_stddev**2 / state.spec.rounds + information
    networks = []
    for slots, inputs, network, prior in zip(
        used, state.inputs, state.networks, state.start.prior_variance, strict=True
    ):
        here = information[slots]
        step = newton_step(inputs, network, -gradient[slots] / here, variance[slots] / here**2, prior)
        networks.append(moved(inputs, network, step_length(plan) * step))
    weights = state.weights.copy()
    intercepts = slice(plan.first_intercept, plan.length)
    weights[intercepts] -= INTERCEPT_STEP * gradient[intercepts] / information[intercepts]
    stepped = _with(state, tuple(networks), weights)
    if 2 * state.rounds_done <= state.spec.rounds:
        return stepped
    return replace(stepped, tail_sum=state.tail_sum + stepped.weights, tail_rounds=state.tail_rounds + 1)


def _exact_step(state: AdditiveState, sums: Floats) -> AdditiveState:
    known = Curvature(state.layout, state.used, state.start.information, state.spec.prior_stddev)
    target, descent = exact_target(known, state.descent, state.weights, sums)
    networks = []
    for slots, inputs, network, prior in zip(
        state.used, state.inputs, state.networks, state.start.prior_variance, strict=True
    ):
        # One step towards the target will do: what it misses, the next round's gradient asks for again.
        missing, variance = target[slots] - values(inputs, network), 1.0 / state.start.information[slots]
        networks.append(moved(inputs, network, newton_step(inputs, network, missing, variance, prior)))
    return replace(_with(state, tuple(networks), target), descent=descent)


def _with(state: AdditiveState, networks: tuple[Network, ...], weights: Floats) -> AdditiveState:
    """The same state with other networks; `weights` gives the intercepts, shape (layout length,)."""
    table = weights.copy()
    for slots, inputs, network in zip(state.used, state.inputs, networks, strict=True):
        table[slots] = values(inputs, network)
    return replace(state, networks=networks, weights=on_grid(table))
