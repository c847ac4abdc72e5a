"""What computes a perceptron's clipped integer sums: NumPy anywhere, or code compiled for this machine.

Both give the same integers, so neither plan nor model says which it was. Whoever asks for compiled code and cannot have
it is told so; nothing falls back. Compiled code is first tried against NumPy on public numbers: a compiler that rounds
otherwise, or code kept from another version, is refused.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.models import mlp_clipping
from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import Kernel
from fedcredit.models.mlp_layout import Layer

# Public numbers on which kernels are compared: on a lattice so fine that truncation hides few digits.
_RECORDS, _FINE = 199, 2**42


class ClippedSums(Protocol):
    """Sums of clipped integer gradients."""

    def __call__(
        self,
        layers: Sequence[Layer],
        inputs: NDArray[np.float64],
        bad: NDArray[np.uint8],
        scale: int,
        radii: NDArray[np.int64],
        parts: Sequence[slice],
    ) -> list[NDArray[np.int64]]:
        """Sum over each part of the records, at most 2^24 of them; shape (vector_length,) each.

        Parameters
        ----------
        layers
            Weights and biases in weight units, the parts of the first layer first.
        inputs
            Shape (n_inputs, n), in input units.
        bad
            Shape (n,): 1 = bad, 0 = good.
        scale
            Lattice units per unit of gradient, a multiple of `INPUT_SCALE`.
        radii
            Shape (n,): largest L2 norm of each record's integer gradient, in lattice units.
        parts
            Which records each sum is of.
        """
        ...


def clipped_sums_of(kernel: Kernel) -> ClippedSums:
    """A kernel's sums; compiled ones are compiled, or read from a cache, when they are first asked for.

    Raises
    ------
    ConfigError
        If there is no compiler, it has nowhere to keep what it compiled, or gives other integers; or for torch.
    """
    if kernel == "numpy":
        return mlp_clipping.clipped_sums
    if kernel != "compiled":
        raise ConfigError("kernel=torch is for models made of bins, not for perceptrons; set kernel=compiled or numpy.")
    if find_spec("numba") is None:
        raise ConfigError("kernel=compiled needs numba; run: pip install 'fedcredit[fast]', or set kernel=numpy.")
    try:
        sums: ClippedSums = import_module("fedcredit.models.mlp_compiled").clipped_sums
    except RuntimeError as error:
        raise ConfigError(
            f"kernel=compiled cannot keep compiled code: {error}; name a folder of this user's own in NUMBA_CACHE_DIR."
        ) from error
    if not _agree(sums, mlp_clipping.clipped_sums):
        raise ConfigError(
            "kernel=compiled gives other integers than NumPy on this machine; remove what numba kept (*.nbi, *.nbc) in "
            "__pycache__ beside fedcredit/models/mlp_compiled.py or in NUMBA_CACHE_DIR), or set kernel=numpy."
        )
    return sums


def _agree(one: ClippedSums, other: ClippedSums) -> bool:
    """Whether both give the same integers on public numbers: two encoders, one of them at times without its block."""
    shapes = ((8, 3), (8, 2), (5, 16), (1, 5))
    layers = [
        Layer(
            _numbers(outputs * inputs, WEIGHT_SCALE).reshape(outputs, inputs),
            _numbers(outputs, WEIGHT_SCALE) if place > 1 else None,
        )
        for place, (outputs, inputs) in enumerate(shapes)
    ]
    inputs = _numbers(5 * _RECORDS, 3 * INPUT_SCALE).reshape(5, _RECORDS)
    inputs[[2, 4]] = INPUT_SCALE
    inputs[3:, ::3] = 0
    bad, radii = (np.arange(_RECORDS) % 2).astype(np.uint8), 2 ** (24 + np.arange(_RECORDS) % 8)
    sums, expected = (kernel(layers, inputs, bad, _FINE, radii, [slice(None)]) for kernel in (one, other))
    return np.array_equal(sums, expected)


def _numbers(count: int, bound: int) -> NDArray[np.float64]:
    """Whole numbers within ±bound, of no particular order."""
    return ((np.arange(count) * 2_654_435_761 + 12_289) % (2 * bound + 1) - bound).astype(np.float64)
