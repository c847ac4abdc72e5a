r"""The clipped integer sums of `fedcredit.models.mlp_clipping`, compiled for this machine: the same integers, sooner.

NumPy walks through memory once for each operation on small arrays; here each record's numbers are taken through all
operations of a layer at a time. Matrix products stay with BLAS, since they are exact in any order, as are squared
norms. Everything else is elementwise + − × ÷ √, rounding and table look-ups in the order of `mlp_exact`,
`mlp_gradients` and `mlp_clipping`, which IEEE 754 fixes to the bit; factors that are powers of two may stand elsewhere.
No fast-math: the compiler neither reorders nor fuses what rounds.

Compiled when first called and kept beside this file or in the user's cache, to be trusted as Python's own bytecode.
Needs the extra `fast`.

References
----------
Lam, Pitrou, Seibert, "Numba: a LLVM-based Python JIT compiler", LLVM-HPC 2015.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_clipping import SHAVED
from fedcredit.models.mlp_exact import TANH_CELLS, TANH_LARGEST, VALUE_BITS, tanh_table
from fedcredit.models.mlp_gradients import ACTIVATION_SCALE
from fedcredit.models.mlp_layout import Layer, n_first

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., object])


def clipped_sums(
    layers: Sequence[Layer],
    inputs: Floats,
    bad: NDArray[np.uint8],
    scale: int,
    radii: Integers,
    parts: Sequence[slice],
) -> list[Integers]:
    """Sum of the clipped integer gradients of each part of the records; shape (vector_length,) each.

    A `fedcredit.models.mlp_kernel.ClippedSums`.
    """
    network = _network(layers)

    def sum_of(part: slice) -> Integers:
        if not len(bad[part]):  # BLAS takes no empty matrices
            return np.zeros(len(network.weights), dtype=np.int64)
        # Copies, so that the types are always those that were compiled: in C order, and may be written to.
        columns, labels, own = inputs[:, part].copy(order="C"), bad[part].astype(np.float64), radii[part].copy()
        return _clipped_sum(network, columns, labels, scale // INPUT_SCALE, own, tanh_table())

    return [sum_of(part) for part in parts]


class _Network(NamedTuple):
    """All layers as one vector of `weights`; all units are rows of one array, of which a record is a column.

    The layers of shape `shapes`, the first `n_first` of which are parts of the first, begin at `starts` of the vector
    and at `rows` of the array; both name the end too.
    """

    weights: Floats
    shapes: Integers
    n_first: int
    rows: Integers
    starts: Integers


def _network(layers: Sequence[Layer]) -> _Network:
    arrays = (part for layer in layers for part in (layer.weights, layer.biases) if part is not None)
    first = n_first(layers)
    shapes, rows, starts = _places(tuple(layer.weights.shape for layer in layers), first)
    return _Network(np.concatenate([part.ravel() for part in arrays]), shapes, first, rows, starts)


@lru_cache(maxsize=64)
def _places(shapes: tuple[tuple[int, ...], ...], n_first: int) -> tuple[Integers, Integers, Integers]:
    """Shapes, rows and starts of a network."""
    pairs = np.array(shapes, dtype=np.int64)
    sizes = pairs.prod(axis=1) + np.where(np.arange(len(pairs)) >= n_first, pairs[:, 0], 0)
    return pairs, np.append(0, pairs[:, 0].cumsum()), np.append(0, sizes.cumsum())


def _compiled(function: _Function) -> _Function:
    """Division by zero gives what NumPy gives."""
    return cast("_Function", njit(cache=True, error_model="numpy")(function))


@_compiled
def _clipped_sum(
    network: _Network, inputs: Floats, bad: Floats, scale: int, radii: Integers, table: Floats
) -> Integers:
    """Sum of all records; `scale` is of signals."""
    shape, by_layer = (network.rows[-1], len(bad)), (len(network.shapes), len(bad))
    units, read, sizes = np.empty(shape), np.empty(shape), np.zeros(by_layer)
    _forward(network, inputs, units, read, sizes, table)
    signals, steps = np.empty(shape), np.empty(by_layer)
    halves = 0.5 * units[-1]
    _tanh(halves, np.empty(len(bad)), np.empty(len(bad), np.int32), table)
    signals[-1] = 0.5 + 0.5 * halves - bad
    _backward(network, units, signals, steps)
    _drop_unread(network, signals, sizes)
    _truncate(network, signals, steps, sizes, scale, radii)
    _hold_norm(network, signals, sizes, radii)
    return _sum(network, inputs, read, signals)


@_compiled
def _own(network: _Network, layer: int) -> slice:
    """Rows of a layer's units."""
    return slice(network.rows[layer], network.rows[layer + 1])


@_compiled
def _below(network: _Network, layer: int) -> slice:
    """Rows of what a layer above the first reads."""
    return slice(network.rows[layer - 1] if layer > network.n_first else 0, network.rows[layer])


@_compiled
def _matrix(network: _Network, vector: Floats, layer: int) -> Floats:
    """A layer's weights, or what has their place in a vector."""
    outputs, inputs = network.shapes[layer]
    start = network.starts[layer]
    return vector[start : start + outputs * inputs].reshape(outputs, inputs)


@_compiled
def _biases(network: _Network, vector: Floats, layer: int) -> Floats:
    """Likewise the biases of a layer above the first."""
    end = network.starts[layer + 1]
    return vector[end - network.shapes[layer, 0] : end]


@_compiled
def _forward(network: _Network, inputs: Floats, units: Floats, read: Floats, sizes: Floats, table: Floats) -> None:
    """As `mlp_gradients.forward`; also what each layer above the first reads, and `mlp_clipping.factor_sizes`."""
    weights, n_first = network.weights, network.n_first
    column = 0
    for layer in range(n_first):
        seen = inputs[column : column + network.shapes[layer, 1]]
        np.dot(_matrix(network, weights, layer), seen, units[_own(network, layer)])
        _add_squares(seen, sizes[layer])
        sizes[layer] = np.maximum(sizes[layer], 1.0)
        column += network.shapes[layer, 1]
    biases, unit = np.zeros(network.rows[n_first]), 1.0 / (INPUT_SCALE * WEIGHT_SCALE)
    for layer in range(n_first, len(network.shapes)):
        below = _below(network, layer)
        _activate(units[below], biases, unit, read[below], sizes[layer], table)
        np.dot(_matrix(network, weights, layer), units[below], units[_own(network, layer)])
        biases, unit = _biases(network, weights, layer), 1.0 / (ACTIVATION_SCALE * WEIGHT_SCALE)
    units[-1] = units[-1] * unit + weights[-1] / WEIGHT_SCALE


@_compiled
def _activate(units: Floats, biases: Floats, unit: float, read: Floats, sizes: Floats, table: Floats) -> None:
    """From products, in some unit, to activations."""
    sizes[:] = INPUT_SCALE**2
    rest, cells = np.empty(len(sizes)), np.empty(len(sizes), np.int32)
    for row in range(len(units)):
        own, values = units[row], read[row]
        bias = biases[row] / WEIGHT_SCALE
        for record in range(len(own)):
            own[record] = own[record] * unit + bias
        _tanh(own, rest, cells, table)
        for record in range(len(own)):
            own[record] = np.rint(own[record] * ACTIVATION_SCALE)
            values[record] = np.rint(own[record] * (INPUT_SCALE / ACTIVATION_SCALE))
            sizes[record] += values[record] * values[record]


@_compiled
def _tanh(values: Floats, rest: Floats, cells: NDArray[np.int32], table: Floats) -> None:
    """As `mlp_exact.tanh`, in place; in three loops, each of which the compiler turns into vector instructions."""
    largest = float(TANH_LARGEST)
    for i in range(len(values)):
        scaled = min(max(values[i], -largest), largest) * TANH_CELLS
        cell = np.rint(scaled)
        rest[i] = (scaled - cell) / TANH_CELLS
        cells[i] = np.int32(cell)
    for i in range(len(values)):
        values[i] = table[np.uint32(cells[i] + np.int32(TANH_LARGEST * TANH_CELLS))]
    for i in range(len(values)):
        values[i] += (1.0 - values[i] * values[i]) * rest[i] * (1.0 - rest[i] * values[i])


@_compiled
def _backward(network: _Network, units: Floats, signals: Floats, steps: Floats) -> None:
    """As `mlp_gradients.backward`, from the derivatives by the log-odds, the last row of `signals`."""
    for layer in range(len(steps) - 1, network.n_first - 1, -1):
        own, below = signals[_own(network, layer)], _below(network, layer)
        _put_on_own_grid(own, steps[layer])
        np.dot(_matrix(network, network.weights, layer).T, own, signals[below])
        _pull(signals[below], units[below], steps[layer])
    for layer in range(network.n_first):
        _put_on_own_grid(signals[_own(network, layer)], steps[layer])


@_compiled
def _pull(pulled: Floats, units: Floats, steps: Floats) -> None:
    """Times what a signal stands for and the slope of tanh."""
    for row in range(len(pulled)):
        for record in range(len(steps)):
            value = units[row, record] / ACTIVATION_SCALE
            pulled[row, record] = pulled[row, record] * (steps[record] / WEIGHT_SCALE) * (1.0 - value * value)


@_compiled
def _put_on_own_grid(values: Floats, steps: Floats) -> None:
    steps[:] = 0.0
    for row in range(len(values)):
        for record in range(len(steps)):
            steps[record] = max(steps[record], abs(values[row, record]))
    inverses = np.empty(len(steps))
    for record in range(len(steps)):
        _, exponent = math.frexp(steps[record])
        steps[record] = math.ldexp(1.0, exponent - VALUE_BITS)
        inverses[record] = 1.0 / steps[record]
    for row in range(len(values)):
        for record in range(len(steps)):
            values[row, record] = np.rint(values[row, record] * inverses[record])


@_compiled
def _drop_unread(network: _Network, signals: Floats, sizes: Floats) -> None:
    """As in `mlp_clipping`."""
    for layer in range(network.n_first if network.n_first > 1 else 0):
        own = signals[_own(network, layer)]
        for row in range(len(own)):
            for record in range(own.shape[1]):
                own[row, record] *= 1.0 if sizes[layer, record] > 1 else 0.0


@_compiled
def _truncate(network: _Network, signals: Floats, steps: Floats, sizes: Floats, scale: int, radii: Integers) -> None:
    """As in `mlp_clipping`; `scale` is of signals."""
    norms, squares = np.zeros(len(radii)), np.empty(len(radii))
    for layer in range(len(steps)):
        squares[:] = 0.0
        _add_squares(signals[_own(network, layer)], squares)
        for record in range(len(radii)):
            step = steps[layer, record] * scale
            norms[record] += squares[record] * (step * step * sizes[layer, record])
    within = radii * SHAVED
    factors = scale * (within / np.maximum(np.sqrt(norms), within))
    for layer in range(len(steps)):
        own, shrink = signals[_own(network, layer)], steps[layer] * factors
        for row in range(len(own)):
            for record in range(len(radii)):
                own[row, record] = np.trunc(own[row, record] * shrink[record])


@_compiled
def _hold_norm(network: _Network, signals: Floats, sizes: Floats, radii: Integers) -> None:
    """As in `mlp_clipping`."""
    totals, fits, squares = np.zeros(len(radii), np.int64), np.ones(len(radii), np.bool_), np.empty(len(radii))
    for layer in range(len(sizes)):
        squares[:] = 0.0
        _add_squares(signals[_own(network, layer)], squares)
        for record in range(len(radii)):
            whole = np.int64(sizes[layer, record])
            fit = squares[record] <= radii[record] ** 2 // whole
            fits[record] &= fit
            totals[record] += np.int64(squares[record]) * whole if fit else 0
    for record in range(len(radii)):
        if not (fits[record] and totals[record] <= radii[record] ** 2):
            signals[:, record] = 0.0


@_compiled
def _add_squares(values: Floats, squares: Floats) -> None:
    for row in range(len(values)):
        for record in range(len(squares)):
            squares[record] += values[row, record] * values[row, record]


@_compiled
def _sum(network: _Network, inputs: Floats, read: Floats, signals: Floats) -> Integers:
    """As `mlp_clipping.ClippedFactors.sum` of all records."""
    sums, scales = np.empty(network.starts[-1]), np.full(inputs.shape[1], float(INPUT_SCALE))
    column = 0
    for layer in range(len(network.shapes)):
        own = signals[_own(network, layer)]
        if layer < network.n_first:
            seen = inputs[column : column + network.shapes[layer, 1]]
            column += network.shapes[layer, 1]
        else:
            seen = read[_below(network, layer)]
            np.dot(own, scales, _biases(network, sums, layer))
        np.dot(own, seen.T, _matrix(network, sums, layer))
    return sums.astype(np.int64)
