r"""Federated gradient descent on a flat vector of weights, in elementwise float64: the same bits on every machine.

At an institution, from the round's weights w₀, K steps on the noised sum G of the clipped gradients of a Poisson
sample, over the public q·N_i:

    w ← w − η·(G/(q·N_i) + proximal·(w − w₀))

With K = 1 the institution sends G itself. With more it sends where it has come to, as a gradient sum that leads there
in one step: (w₀ − w)·q·N_i/η on the same lattice. Both add up over institutions to the FedAvg mean with weights
N_i/ΣN_i, and both are functions of noised sums alone, so sending costs nothing beyond the K sums.

At the coordinator, the mean update u = η·ΣG/(q·ΣN_i), where N_i counts for a coordinate only if i owns it, goes
through one of the steps of `fedcredit.models.server_spec`. Sampling and divisors are public constants: the true batch
size would tell how many records an institution holds. The released weights are the mean over the second half of the
rounds.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.server_spec import FedAdam, FedAvg, FedAvgM

WEIGHT_SCALE = 2**20
"""Weight units per unit."""
WEIGHT_BITS = 23
"""Weights are whole numbers of weight units within ±2^23, that is within ±8."""
WEIGHT_LIMIT = 2**WEIGHT_BITS / WEIGHT_SCALE
"""Largest absolute weight or bias: more than tanh units need, and little enough for exact sums."""


@dataclass(frozen=True, slots=True)
class Descent:
    """The fold of the released rounds; all arrays of shape (vector_length,).

    Attributes
    ----------
    records
        Public number of training records of each coordinate's owners.
    weights
        Where the next round starts.
    rounds_done
        Rounds folded so far.
    tail_sum, tail_rounds
        Sum of the iterates of the second half, and how many they are.
    first_moment, second_moment
        Running mean (FedAdam) or sum (FedAvgM) of updates, and running mean of their squares.
    """

    records: NDArray[np.float64]
    weights: NDArray[np.float64]
    rounds_done: int
    tail_sum: NDArray[np.float64]
    tail_rounds: int
    first_moment: NDArray[np.float64]
    second_moment: NDArray[np.float64]

    @property
    def released(self) -> NDArray[np.int32]:
        """The averaged weights in weight units; the current ones before the second half has begun."""
        return on_grid(self.tail_sum / self.tail_rounds if self.tail_rounds else self.weights)


def begin(weights: NDArray[np.float64], records: NDArray[np.float64]) -> Descent:
    """Before the first round.

    Parameters
    ----------
    weights
        Public initial weights, shape (vector_length,).
    records
        Same shape; a coordinate without owners has 0.
    """
    zeros = np.zeros_like(weights)
    return Descent(np.maximum(records, 1.0), weights, 0, zeros, 0, zeros, zeros)


def descend(spec: DescentSpec, state: Descent, sums: NDArray[np.int64]) -> Descent:
    """One round on released sums, within the public weight range."""
    update = spec.learning_rate * (sums.astype(np.float64) / (spec.gradient_scale * spec.sampling_rate * state.records))
    moved = _server_step(spec, state, update)
    rounds_done = state.rounds_done + 1
    in_tail = 2 * rounds_done > spec.rounds
    return replace(
        moved,
        rounds_done=rounds_done,
        tail_sum=state.tail_sum + moved.weights if in_tail else state.tail_sum,
        tail_rounds=state.tail_rounds + in_tail,
    )


def local_step(
    spec: DescentSpec,
    start: NDArray[np.int32],
    current: NDArray[np.int32],
    sums: NDArray[np.int64],
    records: float,
) -> NDArray[np.int32]:
    """One step of an institution of its own, in weight units.

    Parameters
    ----------
    start
        The round's first weights.
    current
        Where the institution stands.
    sums
        Noised sum of clipped gradients at `current`.
    records
        The institution's public number of training records.
    """
    gradient = sums.astype(np.float64) / (spec.gradient_scale * spec.sampling_rate * records)
    here = current / WEIGHT_SCALE
    pulled = gradient + spec.proximal * (here - start / WEIGHT_SCALE)
    return on_grid(here - spec.learning_rate * pulled)


def local_message(
    spec: DescentSpec, start: NDArray[np.int32], end: NDArray[np.int32], records: float
) -> NDArray[np.int64]:
    """The gradient sum that leads from `start` to `end` in one step, in lattice units."""
    way = (start.astype(np.float64) - end) / WEIGHT_SCALE
    steps = way / spec.learning_rate * (spec.gradient_scale * spec.sampling_rate * records)
    return np.rint(steps).astype(np.int64)


def on_grid(weights: NDArray[np.float64]) -> NDArray[np.int32]:
    """Round weights to weight units, within ±`WEIGHT_LIMIT`."""
    largest = 2**WEIGHT_BITS
    return np.clip(np.rint(weights * WEIGHT_SCALE), -largest, largest).astype(np.int32)


def _server_step(spec: DescentSpec, state: Descent, update: NDArray[np.float64]) -> Descent:
    server = spec.server
    first, second = state.first_moment, state.second_moment
    match server:
        case FedAvg():
            step = update
        case FedAvgM():
            first = server.momentum * first + update
            step = first
        case FedAdam():
            first = server.first_decay * first + (1 - server.first_decay) * update
            second = server.second_decay * second + (1 - server.second_decay) * (update * update)
            step = first / (np.sqrt(second) + server.floor)
    weights = np.clip(state.weights - server.learning_rate * step, -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return replace(state, weights=weights, first_moment=first, second_moment=second)
