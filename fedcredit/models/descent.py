r"""Federated gradient descent on a flat vector of weights, in elementwise float64: the same bits on every machine.

At an institution, from the round's weights w₀, K steps on the noised sum G of the clipped gradients of a Poisson
sample, over the public q·N_i:

    w ← w − η·(G/(q·N_i) + proximal·(w − w₀) + c − c_i)

With K = 1 the institution sends G itself. With more it sends where it has come to, as a gradient sum that leads there
in one step: (w₀ − w)·q·N_i/η on the same lattice. Both add up over institutions to the FedAvg mean with weights
N_i/ΣN_i, and both are functions of noised sums alone, so sending costs nothing beyond the K sums.

With control variates, c_i is the mean of the institution's noised gradients G/(q·N_i) in its last message and c the
coordinator's mean over all in the last round; without them, or before there are any, c − c_i is left out.

At the coordinator, the mean update u = η·ΣG/(q·ΣN_i), where N_i counts for a coordinate only if i owns it, goes
through one of the steps of `fedcredit.models.server_spec`. Sampling and divisors are public constants: the true batch
size would tell how many records an institution holds. The released weights are the mean over the second half of the
rounds.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import WireError
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.server_spec import FedAdam, FedAvg, FedAvgM

WEIGHT_SCALE = 2**20
"""Weight units per unit."""
WEIGHT_BITS = 23
"""Weights are whole numbers of weight units within ±2^23, that is within ±8."""
WEIGHT_LIMIT = 2**WEIGHT_BITS / WEIGHT_SCALE
"""Largest absolute weight or bias: more than tanh units need, and little enough for exact sums."""
_MOST_CONTROL_UNITS = 2**31 - 1


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
    control
        Mean gradient over all institutions' steps in the last round; zeros before it.
    """

    records: NDArray[np.float64]
    weights: NDArray[np.float64]
    rounds_done: int
    tail_sum: NDArray[np.float64]
    tail_rounds: int
    first_moment: NDArray[np.float64]
    second_moment: NDArray[np.float64]
    control: NDArray[np.float64]

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
    return Descent(np.maximum(records, 1.0), weights, 0, zeros, 0, zeros, zeros, zeros)


def descend(spec: DescentSpec, state: Descent, sums: NDArray[np.int64]) -> Descent:
    """One round on released sums, within the public weight range."""
    gradient = mean_gradient(spec, sums, state.records)
    update = spec.learning_rate * gradient
    moved = _server_step(spec, state, update)
    rounds_done = state.rounds_done + 1
    in_tail = 2 * rounds_done > spec.rounds
    return replace(
        moved,
        rounds_done=rounds_done,
        tail_sum=state.tail_sum + moved.weights if in_tail else state.tail_sum,
        tail_rounds=state.tail_rounds + in_tail,
        control=gradient / spec.local_steps,
    )


def mean_gradient(
    spec: DescentSpec, sums: NDArray[np.int64], records: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Lattice sums over the public q·N."""
    mean: NDArray[np.float64] = sums.astype(np.float64) / (spec.gradient_scale * spec.sampling_rate * records)
    return mean


def local_step(
    spec: DescentSpec,
    start: NDArray[np.int32],
    current: NDArray[np.int32],
    sums: NDArray[np.int64],
    records: float,
    correction: NDArray[np.float64] | float = 0.0,
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
    correction
        c − c_i, in units of gradient.
    """
    here = current / WEIGHT_SCALE
    pulled = mean_gradient(spec, sums, records) + spec.proximal * (here - start / WEIGHT_SCALE) + correction
    return on_grid(here - spec.learning_rate * pulled)


def local_message(
    spec: DescentSpec, start: NDArray[np.int32], end: NDArray[np.int32], records: float
) -> NDArray[np.int64]:
    """The gradient sum that leads from `start` to `end` in one step, in lattice units."""
    way = (start.astype(np.float64) - end) / WEIGHT_SCALE
    steps = way / spec.learning_rate * (spec.gradient_scale * spec.sampling_rate * records)
    return np.rint(steps).astype(np.int64)


def with_control(spec: DescentSpec, state: Descent, model: bytes) -> bytes:
    """A round's model bytes, and c as little-endian int32 in weight units where the plan has control variates."""
    if not spec.control_variates:
        return model
    units = np.clip(np.rint(state.control * WEIGHT_SCALE), -_MOST_CONTROL_UNITS, _MOST_CONTROL_UNITS)
    return model + units.astype("<i4").tobytes()


def split_control(spec: DescentSpec, length: int, data: bytes) -> tuple[bytes, NDArray[np.float64] | None]:
    """What `with_control` put together: the model's bytes, and c or None.

    Parameters
    ----------
    length
        Number of weights.

    Raises
    ------
    WireError
        If the bytes are too few.
    """
    if not spec.control_variates:
        return data, None
    if len(data) < 4 * length:
        raise WireError(f"{len(data)} bytes hold no model with control variates; their writer is foreign.")
    return data[: -4 * length], np.frombuffer(data[-4 * length :], "<i4") / WEIGHT_SCALE


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
