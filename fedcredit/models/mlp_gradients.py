r"""Factors of each record's gradient: a record's gradient of a linear layer is signal ⊗ (activation, 1).

One forward and one backward pass over a chunk of records give both factors of every layer, and no gradient of a
single record is ever formed. Inputs, activations and signals are whole numbers on grids that are public or the
record's own, hence the same in any batch (`fedcredit.models.mlp_exact`). A record is a column of every array.

The first layer may have parts (encoders) that read one slice of the inputs each. Signals of a part are on a grid of
their own: the encoder of a block that is not there moves no digit of another.

References
----------
Goodfellow, "Efficient Per-Example Gradient Computations", arXiv 1510.01799 (the factors and their norm).
Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, arXiv 1607.00133.
Papernot et al., "Tempered Sigmoid Activations for Deep Learning with Differential Privacy", AAAI 2021,
arXiv 2007.14191, on tanh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_exact import VALUE_BITS, exact_product, tanh
from fedcredit.models.mlp_layout import Layer, n_first

ACTIVATION_SCALE = 2**VALUE_BITS
"""Units per unit of activation."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Derivatives of each record's own loss by the sums that enter the units of one layer or part.

    Attributes
    ----------
    integers
        Shape (outputs, n): whole numbers within ±2^`VALUE_BITS`.
    steps
        Shape (n,): the record's power of two that one integer stands for.
    """

    integers: NDArray[np.float64]
    steps: NDArray[np.float64]


def forward(
    layers: Sequence[Layer], inputs: NDArray[np.float64]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Hidden activations and log-odds.

    Parameters
    ----------
    layers
        Weights and biases in weight units, the parts of the first layer first.
    inputs
        Shape (n_inputs, n), in input units.

    Returns
    -------
    list of ndarray
        Per hidden layer shape (outputs, n), the parts of the first together: whole numbers, `ACTIVATION_SCALE` to a
        unit.
    ndarray of float64, shape (n,)
        Log-odds of the bad class.
    """
    hidden: list[NDArray[np.float64]] = []
    first = n_first(layers)
    sums = _weigh_parts(layers[:first], inputs)
    for layer in layers[first:]:
        activations = tanh(sums)
        activations *= ACTIVATION_SCALE
        hidden.append(np.rint(activations, out=activations))
        sums = _weigh(layer, hidden[-1], ACTIVATION_SCALE)
    return hidden, sums[0]


def backward(
    layers: Sequence[Layer], hidden: Sequence[NDArray[np.float64]], logits: NDArray[np.float64], bad: NDArray[np.uint8]
) -> list[Signals]:
    """Signals of every layer, inputs first, of the first layer part by part.

    Parameters
    ----------
    hidden, logits
        From `forward`.
    bad
        Shape (n,): 1 = bad, 0 = good.
    """
    probability = 0.5 + 0.5 * tanh(0.5 * logits)
    pulled = (probability - bad)[None, :]
    first = n_first(layers)
    signals: list[Signals] = []
    for layer, activations in zip(reversed(layers[first:]), reversed(hidden), strict=True):
        signals.append(_on_own_grid(pulled))
        values = activations / ACTIVATION_SCALE
        values *= values
        pulled = exact_product(layer.weights.T, signals[-1].integers)
        pulled *= signals[-1].steps / WEIGHT_SCALE
        pulled *= np.subtract(1.0, values, out=values)
    by_part = [pulled] if first == 1 else np.split(pulled, first)
    signals += [_on_own_grid(part) for part in reversed(by_part)]
    return signals[::-1]


def input_slices(first: Sequence[Layer], inputs: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """What each part of the first layer reads, one after the other."""
    if len(first) == 1:
        return [inputs]
    starts = accumulate((layer.weights.shape[1] for layer in first), initial=0)
    return [inputs[start:end] for start, end in pairwise(starts)]


def _weigh_parts(first: Sequence[Layer], inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(first) == 1:
        return _weigh(first[0], inputs, INPUT_SCALE)
    slices = input_slices(first, inputs)
    return np.concatenate([_weigh(layer, part, INPUT_SCALE) for layer, part in zip(first, slices, strict=True)])


def _weigh(layer: Layer, values: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    # Powers of two change no digit: the products are as exact as those of whole numbers.
    sums = exact_product(layer.weights / (scale * WEIGHT_SCALE), values)
    if layer.biases is not None:
        sums += (layer.biases / WEIGHT_SCALE)[:, None]
    return sums


def _on_own_grid(values: NDArray[np.float64]) -> Signals:
    """Round a record's values to a power of two, 2^-`VALUE_BITS` of its largest value or up to twice that."""
    _, exponents = np.frexp(np.abs(values).max(axis=0))
    steps = np.ldexp(1.0, exponents - VALUE_BITS)
    integers = values * (1.0 / steps)
    return Signals(np.rint(integers, out=integers), steps)
