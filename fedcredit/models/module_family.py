"""The family of user-written torch modules, trained by federated DP-SGD like the perceptron.

Inputs are the perceptron's: one value per feature and a one-hot institution type. Nothing is known of a module's
inside, so every institution type owns every weight. Each record is computed alone, in training and in scoring.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.descent import WEIGHT_SCALE
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.module_gradients import clipped_gradient, holding, log_odds
from fedcredit.models.module_inputs import inputs_of, n_inputs
from fedcredit.models.module_loading import Network, network_of
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.module_weights import initial_weights
from fedcredit.models.network_family import NetworkFamily, NetworkState
from fedcredit.models.network_model import NetworkModel, margins_of
from fedcredit.preflight import Preflight

# Rows whose inputs are in memory at a time.
_CHUNK_RECORDS = 2**12


class ModuleFamily(NetworkFamily[ModuleSpec, NetworkModel]):
    """Implements `fedcredit.models.family.LocalFamily`."""

    name = "module"
    model = NetworkModel

    def vector_length(self, spec: ModuleSpec, dictionary: DataDictionary) -> int:
        """Number of weights of all parameters.

        Raises
        ------
        ConfigError
            If the module's file is missing or another one, or the module cannot be used.
        """
        return sum(_network(spec, dictionary).sizes)

    def owned_coordinates(
        self,
        spec: ModuleSpec,
        dictionary: DataDictionary,
        kind: str,  # noqa: ARG002  (any type's record can have a gradient anywhere)
    ) -> NDArray[np.bool_]:
        """All weights; shape (vector_length,)."""
        return np.ones(self.vector_length(spec, dictionary), dtype=np.bool_)

    def initial_weights(
        self,
        spec: ModuleSpec,
        dictionary: DataDictionary,
        preflight: Preflight,  # noqa: ARG002  (nothing is known of a module's output layer)
    ) -> NDArray[np.float64]:
        """From the public seed."""
        return initial_weights(_network(spec, dictionary), spec.init_seed)

    def contribute(
        self, spec: ModuleSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Sum of clipped integer gradients per institution; shape (m, vector_length), zeros without rows.

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        network, received = _network(spec, dictionary), self.round_model(spec, dictionary, model)
        sums = np.zeros((rows.n_institutions, len(received.units)), dtype=np.int64)
        owners = np.searchsorted(rows.offsets, np.arange(rows.n_rows), side="right") - 1
        radii = spec.clip_radius // rows.records_of_unit()
        records = _records(dictionary, kind, received, rows.cells)
        with holding(network.module, received.weights) as afresh:
            for record, owner, bad, radius in zip(
                records, owners.tolist(), rows.bad.tolist(), radii.tolist(), strict=True
            ):
                afresh()
                sums[owner] += clipped_gradient(network.module, record, bad, spec.gradient_scale, radius)
        return sums

    def margins(
        self, spec: ModuleSpec, dictionary: DataDictionary, view: str, model: bytes, cells: Cells
    ) -> NDArray[np.int64]:
        """Log-odds of the bad class in units of 1/1024 logit; shape (n,).

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        network, received = _network(spec, dictionary), self.final_model(spec, dictionary, model)
        logits: list[float] = []
        with holding(network.module, received.weights) as afresh:
            for record in _records(dictionary, view, received, cells):
                afresh()
                logits.append(log_odds(network.module, record))
        return margins_of(np.array(logits, dtype=np.float64))

    def release(self, state: NetworkState[ModuleSpec, NetworkModel]) -> dict[str, Any]:
        """The averaged model in integers, with what is needed to load it into the class."""
        spec, released = state.spec, state.released
        network = _network(spec, state.dictionary)
        parts = np.split(released.units, np.cumsum(network.sizes)[:-1])
        names = state.dictionary.feature_names
        return {
            "family": spec.family,
            "module": spec.module,
            "source_sha256": spec.source_sha256,
            "arguments": spec.arguments,
            "n_inputs": n_inputs(state.dictionary),
            "output": "log-odds of the bad class",
            "input_scale": INPUT_SCALE,
            "inputs": {name: part.tolist() for name, part in zip(names, released.values, strict=True)},
            "indicators": list(state.dictionary.kinds),
            "weight_scale": WEIGHT_SCALE,
            "parameters": [
                {"name": name, "shape": list(shape), "weights": part.tolist()}
                for name, shape, part in zip(network.names, network.shapes, parts, strict=True)
            ],
        }


FAMILY = ModuleFamily()


def _network(spec: ModuleSpec, dictionary: DataDictionary) -> Network:
    return network_of(spec, n_inputs(dictionary))


def _records(dictionary: DataDictionary, kind: str, model: NetworkModel, cells: Cells) -> Iterator[NDArray[np.float64]]:
    """Inputs of each record; shape (n_inputs,) each."""
    for start in range(0, len(cells), _CHUNK_RECORDS):
        yield from inputs_of(dictionary, kind, model.values, cells[start : start + _CHUNK_RECORDS])
