"""Public initial weights of a torch module: from the plan's seed, the same on every machine.

What the constructor sets to a constant stays (a LayerNorm's 1 and 0, a last layer at zero). Of what it leaves to
torch's generator, matrices become uniform within ±1/√fan-in, as nn.Linear draws them, and vectors zero.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.module_loading import Network
from fedcredit.wire.canonical import length_prefixed


def initial_weights(network: Network, init_seed: int) -> NDArray[np.float64]:
    """Flat, in the order of ``module.parameters()``."""
    length = sum(network.sizes)
    tag = length_prefixed("module-initial-weights", str(init_seed).encode())
    words = np.frombuffer(hashlib.shake_256(tag).digest(8 * length), "<u8")
    drawn = np.split(words / 2.0**63 - 1.0, np.cumsum(network.sizes)[:-1])
    parts = zip(drawn, network.shapes, network.constants, strict=True)
    return np.concatenate(
        [_of_shape(uniform, shape) if constant is None else constant for uniform, shape, constant in parts]
    )


def _of_shape(uniform: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return uniform / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else np.zeros_like(uniform)
