"""The network of one feature: from a bin to a log-odds, and what each parameter does to it.

A record meets a feature's network only through its bin, so the network is known by its values at the feature's bins
and trained through them: the gradient of the loss in a parameter is the sum over bins of (sum of residuals in the bin)
times (derivative of the value there). Nothing about a record is needed beyond the bins' sums.

The value at a bin is ``gain * start + sum_k height_k * tanh(slope_k * (position - knot_k)) + offset``: the curve that
the released counts suggest, scaled; a hidden layer that reads the bin's place on the scale; and an offset for bins that
lie on no scale (missing values, categories) or stand for one value, such as 0. Hidden units begin as steps evenly
spread over the scale, with heights of 0, so that nothing is drawn at random.

Arithmetic is elementwise NumPy in a fixed order, without BLAS.

References
----------
Agarwal, Melnick, Frosst, Zhang, Lengerich, Caruana and Hinton, "Neural Additive Models", NeurIPS 2021.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.step_filter import product

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is public about the bins of one feature.

    Attributes
    ----------
    start
        Shape (B,): the curve that the released counts suggest, logits.
    position
        Shape (B,): place on the feature's scale, -1 to 1.
    ordered
        Shape (B,): 1 for a bin on the scale, else 0.
    own
        Bins with an offset of their own.
    share
        Shape (B,): each bin's share of the feature's information; values are centred by it.
    direction
        1 if values must not fall along the scale, -1 if they must not rise, 0 if both may be.
    """

    start: Floats
    position: Floats
    ordered: Floats
    own: tuple[int, ...]
    share: Floats
    direction: int

    def centred(self, values: Floats) -> Floats:
        """Leave the constant to the intercepts; shape (B,) or (B, P)."""
        return np.asarray(values - np.add.reduce(values.T * self.share, axis=-1))


@dataclass(frozen=True, slots=True)
class Network:
    """Parameters of one feature's network.

    Attributes
    ----------
    gain
        Factor on the start.
    slopes, knots, heights
        Shape (H,): the hidden layer.
    offsets
        Shape (number of own bins,).
    """

    gain: float
    slopes: Floats
    knots: Floats
    heights: Floats
    offsets: Floats


def initial(inputs: Inputs, hidden_units: int) -> Network:
    """Network whose values are the start."""
    knots = (2.0 * np.arange(hidden_units) + 1.0) / hidden_units - 1.0
    # From -1 to 1 unit before tanh over the distance between knots: together the steps can follow any bin.
    slopes = np.full(hidden_units, float(hidden_units))
    return Network(1.0, slopes, knots, np.zeros(hidden_units), np.zeros(len(inputs.own)))


def values(inputs: Inputs, network: Network) -> Floats:
    """Centred value at each bin, logits; shape (B,)."""
    found = network.gain * inputs.start + product(_activity(inputs, network), network.heights)
    found[list(inputs.own)] += network.offsets
    return inputs.centred(found)


def jacobian(inputs: Inputs, network: Network) -> Floats:
    """Derivatives of the centred values; shape (B, 1 + 3 H + number of own bins)."""
    active = _activity(inputs, network)
    slack = inputs.ordered[:, None] - active**2
    slope = slack * network.heights * (inputs.position[:, None] - network.knots)
    knot = -slack * network.heights * network.slopes
    own = np.zeros((len(inputs.start), len(inputs.own)))
    own[list(inputs.own), np.arange(len(inputs.own))] = 1.0
    return inputs.centred(np.concatenate([inputs.start[:, None], slope, knot, active, own], axis=1))


def moved(inputs: Inputs, network: Network, step: Floats) -> Network:
    """Add a step to all parameters, in the order of `jacobian`'s columns, and keep the declared direction.

    A sum of rising functions rises: gain and slopes stay positive, and heights take the sign of the direction.
    """
    parts = np.split(step, np.cumsum([1, *(len(network.slopes),) * 3]))
    gain, slopes = network.gain + float(parts[0][0]), network.slopes + parts[1]
    heights = network.heights + parts[3]
    if inputs.direction:
        gain, slopes = max(gain, 0.0), np.maximum(slopes, 0.0)
        heights = inputs.direction * np.maximum(inputs.direction * heights, 0.0)
    return Network(gain, slopes, network.knots + parts[2], heights, network.offsets + parts[4])


def _activity(inputs: Inputs, network: Network) -> Floats:
    scaled = network.slopes * (inputs.position[:, None] - network.knots)
    return np.asarray(inputs.ordered[:, None] * np.tanh(scaled))
