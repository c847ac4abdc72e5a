"""A perceptron as a smooth function of its inputs: log-odds and their derivatives in plain floats.

For looking at a released model. Its score rounds activations to a grid of 2^-22, a staircase without a slope to speak
of; without the rounding the log-odds move by no more than a staircase's height.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.integrated_gradients import Score
from fedcredit.models.mlp_layout import Layer, n_first

Floats = NDArray[np.float64]


def smooth(layers: Sequence[Layer]) -> Score:
    """Log-odds of bad by inputs in units of evidence.

    Parameters
    ----------
    layers
        In weight units, the parts of the first layer first.
    """
    parts = n_first(layers)
    above = [
        (layer.weights / WEIGHT_SCALE, layer.biases / WEIGHT_SCALE)
        for layer in layers[parts:]
        if layer.biases is not None
    ]
    return partial(_log_odds_and_slopes, _joined(layers[:parts]) / WEIGHT_SCALE, above)


def _joined(parts: Sequence[Layer]) -> Floats:
    """The first layer in one piece: zeros where a part does not read."""
    rows, columns = np.array([part.weights.shape for part in parts]).sum(axis=0).tolist()
    whole = np.zeros((rows, columns))
    row, column = 0, 0
    for part in parts:
        outputs, inputs = part.weights.shape
        whole[row : row + outputs, column : column + inputs] = part.weights
        row, column = row + outputs, column + inputs
    return whole


def _log_odds_and_slopes(
    first: Floats, above: Sequence[tuple[Floats, Floats]], points: Floats
) -> tuple[Floats, Floats]:
    hidden: list[Floats] = []
    sums: Floats = first @ points
    for weights, biases in above:
        hidden.append(np.tanh(sums))
        sums = weights @ hidden[-1] + biases[:, None]
    slopes: Floats = np.ones((1, points.shape[1]))
    for (weights, _), values in zip(reversed(above), reversed(hidden), strict=True):
        slopes = weights.T @ slopes * (1.0 - values * values)
    return sums[0], first.T @ slopes
