"""The neural family: a small perceptron on weights of evidence, trained by federated DP-SGD.

Institutions send noised sums of clipped gradients, or under local noise where some steps of their own have led them;
the coordinator steps on the sums (`fedcredit.models.descent`).

Custodian and coordinator compute on whole numbers or elementwise, in NumPy: the same rows and model give the same
integers on every machine, and a record's integers depend on no other record.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.family import Kernel, TrainTerms
from fedcredit.models.mlp_exact import MOST_INPUTS, MOST_UNITS
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_kernel import ClippedSums, clipped_sums_of
from fedcredit.models.mlp_layout import input_parts, n_inputs, owned_coordinates, split, vector_length
from fedcredit.models.mlp_model import NAME, MlpModel, margins
from fedcredit.models.mlp_release import release
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.network_family import NetworkFamily, NetworkState
from fedcredit.preflight import Preflight
from fedcredit.wire.canonical import length_prefixed

# Half of Glorot's range: small first logits, hence fewer gradients that clipping shortens.
_INITIAL_GAIN = 0.5
# Records of one chunk: their activations stay in the processor's cache; far below the 2^26 that add exactly.
_CHUNK_RECORDS = 2**7
_RATE_BOUNDS = (0.001, 0.999)


@dataclass(frozen=True)
class MlpFamily(NetworkFamily[MlpSpec, MlpModel]):
    """Implements `fedcredit.models.family.LocalFamily` and `KernelFamily`.

    Attributes
    ----------
    clipped_sums
        What computes the sums at an institution.
    """

    clipped_sums: ClippedSums
    name: ClassVar[str] = NAME
    model = MlpModel

    def computed_by(self, kernel: Kernel) -> "MlpFamily":
        """The same integers by compiled code."""
        return MlpFamily(clipped_sums_of(kernel))

    def vector_length(self, spec: MlpSpec, dictionary: DataDictionary) -> int:
        """Number of weights and biases."""
        return vector_length(spec, dictionary)

    def terms(self, spec: MlpSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity; clipping gives every institution type the same one.

        Raises
        ------
        ConfigError
            If the dictionary has more features, or its blocks more encoder units, than can be summed exactly.
        """
        if n_inputs(spec, dictionary) > MOST_INPUTS:
            raise ConfigError(f"a perceptron reads {MOST_INPUTS} features at most; use a smaller dictionary.")
        units = spec.encoder_units * len(dictionary.blocks)
        if units > MOST_UNITS:
            raise ConfigError(
                f"encoder_units={spec.encoder_units} for each of {len(dictionary.blocks)} blocks are {units} units, "
                f"more than {MOST_UNITS}; set encoder_units to {MOST_UNITS // len(dictionary.blocks)} at most."
            )
        return super().terms(spec, dictionary)

    def owned_coordinates(self, spec: MlpSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
        """All but the weights of features, indicators and encoders that belong to other types."""
        return owned_coordinates(spec, dictionary, kind)

    def initial_weights(self, spec: MlpSpec, dictionary: DataDictionary, preflight: Preflight) -> NDArray[np.float64]:
        """From the public seed, with the released share of bads as output bias."""
        weights = _initial_weights(spec, dictionary)
        weights[-1] = _log_odds(*_released_totals(dictionary, preflight))
        return weights

    def contribute(
        self, spec: MlpSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Sum of clipped integer gradients per institution; shape (m, vector_length), zeros without rows.

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        received = self.round_model(spec, dictionary, model)
        layers = received.layers(spec, dictionary)
        sums = np.zeros((rows.n_institutions, vector_length(spec, dictionary)), dtype=np.int64)
        radii = spec.clip_radius // rows.records_of_unit()
        for start in range(0, rows.n_rows, _CHUNK_RECORDS):
            part = slice(start, min(start + _CHUNK_RECORDS, rows.n_rows))
            inputs = design(spec, dictionary, kind, received.values, rows.cells[part]).T
            owners = [*_institutions(rows, part)]
            records = [own for _, own in owners]
            parts = self.clipped_sums(layers, inputs, rows.bad[part], spec.gradient_scale, radii[part], records)
            for (institution, _), own_sum in zip(owners, parts, strict=True):
                sums[institution] += own_sum
        return sums

    def margins(
        self, spec: MlpSpec, dictionary: DataDictionary, view: str, model: bytes, cells: Cells
    ) -> NDArray[np.int64]:
        """Log-odds of the bad class in units of 1/1024 logit; shape (n,).

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        return margins(spec, dictionary, view, self.final_model(spec, dictionary, model), cells)

    def release(self, state: NetworkState[MlpSpec, MlpModel]) -> dict[str, Any]:
        """The averaged model in integers: same grids, hence same scores, as `final`."""
        return release(state.spec, state.dictionary, state.released)


FAMILY = MlpFamily(clipped_sums_of("numpy"))


def _institutions(rows: Rows, part: slice) -> Iterator[tuple[int, slice]]:
    """Institutions with rows in a part, and where in the part these are."""
    first = int(np.searchsorted(rows.offsets, part.start, side="right")) - 1
    for institution in range(first, rows.n_institutions):
        start, end = (int(offset) for offset in rows.offsets[institution : institution + 2])
        if start >= part.stop:
            return
        yield institution, slice(max(start, part.start) - part.start, min(end, part.stop) - part.start)


def _released_totals(dictionary: DataDictionary, released: Preflight) -> tuple[float, float]:
    """Good and bad training records over all institutions: of the block that most records have.

    Every feature of a block counts the same records, so the mean over them has less noise than any one.
    """
    by_block: dict[str, list[NDArray[np.float64]]] = {}
    for feature, counts in zip(dictionary.features, released.counts, strict=True):
        by_block.setdefault(feature.block, []).append(counts.sum(axis=0))
    means = [np.mean(totals, axis=0) for totals in by_block.values()]
    goods, bads = max(means, key=lambda total: float(total.sum())).tolist()
    return goods, bads


def _log_odds(goods: float, bads: float) -> float:
    """Log-odds of the bad class within public bounds, whatever noise has done to the counts."""
    low, high = _RATE_BOUNDS
    rate = min(high, max(low, bads / (goods + bads))) if goods + bads > 0 else 0.5
    return math.log(rate / (1 - rate))


def _initial_weights(spec: MlpSpec, dictionary: DataDictionary) -> NDArray[np.float64]:
    """Uniform weights (Glorot and Bengio 2010) read from a hash of the seed: the same on every machine; zero biases."""
    length = vector_length(spec, dictionary)
    tag = length_prefixed("mlp-initial-weights", str(spec.init_seed).encode())
    words = np.frombuffer(hashlib.shake_256(tag).digest(8 * length), "<u8")
    weights: NDArray[np.float64] = words / 2.0**63 - 1.0
    layers, parts = split(spec, dictionary, weights), input_parts(spec, dictionary)
    for layer in layers:
        layer.weights[...] *= _INITIAL_GAIN * math.sqrt(6 / sum(layer.weights.shape))
        if layer.biases is not None:
            layer.biases[...] = 0.0
    for layer, part in zip(layers, parts, strict=False):
        layer.weights[:, len(part.features) :] = 0.0  # the columns of the bits are biases
    return weights
