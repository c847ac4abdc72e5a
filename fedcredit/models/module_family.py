"""The family of user-written torch modules, trained by federated DP-SGD like the perceptron.

Inputs are the perceptron's: one value per feature and a one-hot institution type. Nothing is known of a module's
inside, so every institution type owns every weight. Each record is computed alone, in training and in scoring.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.descent import (
    WEIGHT_SCALE,
    Descent,
    begin,
    descend,
    local_message,
    local_step,
    mean_gradient,
    on_grid,
    split_control,
    with_control,
)
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import LocalStep, TrainTerms
from fedcredit.models.mlp_inputs import input_values
from fedcredit.models.mlp_model import MARGIN_BOUND, MARGIN_SCALE
from fedcredit.models.module_gradients import clipped_gradient, holding, log_odds
from fedcredit.models.module_inputs import inputs_of, n_inputs
from fedcredit.models.module_loading import Network, network_of
from fedcredit.models.module_model import ModuleModel, decode
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.module_weights import initial_weights
from fedcredit.preflight import Preflight

# Rows whose inputs are in memory at a time.
_CHUNK_RECORDS = 2**12


@dataclass(frozen=True, slots=True)
class ModuleState:
    """The fold of the released rounds.

    Attributes
    ----------
    spec, dictionary
        The public constants that fix all shapes.
    values
        Per feature the input value of each grid cell, in input units.
    descent
        Weights and what the rounds have left behind.
    """

    spec: ModuleSpec
    dictionary: DataDictionary
    values: tuple[NDArray[np.int16], ...]
    descent: Descent

    @property
    def released(self) -> ModuleModel:
        """The averaged model; the current one before the second half has begun."""
        return ModuleModel(self.values, self.descent.released)


class ModuleFamily:
    """Implements `fedcredit.models.family.LocalFamily`."""

    def terms(self, spec: ModuleSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity; clipping gives every institution type the same one.

        Raises
        ------
        ConfigError
            If the module's file is missing or another one, or the module cannot be used.
        """
        return TrainTerms(
            vector_length=sum(_network(spec, dictionary).sizes),
            scale=spec.gradient_scale,
            sampling_rate=spec.sampling_rate,
            sensitivity_squared=dict.fromkeys(dictionary.kinds, spec.clip_radius**2),
            local_steps=spec.local_steps,
            clips_units=True,
        )

    def owned_coordinates(
        self,
        spec: ModuleSpec,
        dictionary: DataDictionary,
        kind: str,  # noqa: ARG002  (any type's record can have a gradient anywhere)
    ) -> NDArray[np.bool_]:
        """All weights; shape (vector_length,)."""
        return np.ones(sum(_network(spec, dictionary).sizes), dtype=np.bool_)

    def init(
        self,
        spec: ModuleSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],  # noqa: ARG002  (the step length is a plan constant)
        records: NDArray[np.float64],
    ) -> ModuleState:
        """Input values from the released counts; weights from the public seed."""
        weights = initial_weights(_network(spec, dictionary), spec.init_seed)
        return ModuleState(
            spec, dictionary, input_values(dictionary, preflight, spec.max_bins), begin(weights, records)
        )

    def broadcast(self, state: ModuleState) -> bytes:
        """Canonical bytes of the weights on which custodians take the next gradient."""
        model = ModuleModel(state.values, on_grid(state.descent.weights)).encode()
        return with_control(state.spec, state.descent, model)

    def contribute(
        self, spec: ModuleSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Sum of clipped integer gradients per institution; shape (m, vector_length), zeros without rows.

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        network, received = _network(spec, dictionary), _round_model(spec, dictionary, model)
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

    def local_step(
        self, spec: ModuleSpec, dictionary: DataDictionary, start: bytes, current: bytes, step: LocalStep
    ) -> bytes:
        """Model bytes after one step of an institution's own."""
        first, here = (_round_model(spec, dictionary, data) for data in (start, current))
        units = local_step(spec, first.units, here.units, step.sums, step.records, step.correction)
        model = ModuleModel(here.values, units).encode()
        return model + current[len(model) :]

    def control(
        self, spec: ModuleSpec, dictionary: DataDictionary, model: bytes, step: LocalStep | None
    ) -> NDArray[np.float64] | None:
        """Everybody's control variate in a round's model bytes, or the institution's own."""
        _, control = split_control(spec, sum(_network(spec, dictionary).sizes), model)
        if control is None or step is None:
            return control
        return mean_gradient(spec, step.sums, step.records) / spec.local_steps

    def local_message(
        self, spec: ModuleSpec, dictionary: DataDictionary, start: bytes, end: bytes, records: float
    ) -> NDArray[np.int64]:
        """The gradient sum that leads from `start` to `end` in one step."""
        first, last = (_round_model(spec, dictionary, data) for data in (start, end))
        return local_message(spec, first.units, last.units, records)

    def update(self, state: ModuleState, sums: NDArray[np.int64]) -> ModuleState:
        """One round of released sums."""
        return replace(state, descent=descend(state.spec, state.descent, sums))

    def final(self, state: ModuleState) -> bytes:
        """Canonical bytes of the averaged model."""
        return state.released.encode()

    def margins(
        self, spec: ModuleSpec, dictionary: DataDictionary, view: str, model: bytes, cells: NDArray[np.uint16]
    ) -> NDArray[np.int64]:
        """Log-odds of the bad class in units of 1/1024 logit; shape (n,).

        Raises
        ------
        WireError
            If the model's bytes do not fit the plan.
        """
        network, received = _network(spec, dictionary), _decoded(spec, dictionary, model)
        logits: list[float] = []
        with holding(network.module, received.weights) as afresh:
            for record in _records(dictionary, view, received, cells):
                afresh()
                logits.append(log_odds(network.module, record))
        scaled = np.clip(np.array(logits, dtype=np.float64) * MARGIN_SCALE, -MARGIN_BOUND, MARGIN_BOUND)
        return np.rint(scaled).astype(np.int64)

    def release(self, state: ModuleState) -> dict[str, Any]:
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


def _round_model(spec: ModuleSpec, dictionary: DataDictionary, data: bytes) -> ModuleModel:
    model, _ = split_control(spec, sum(_network(spec, dictionary).sizes), data)
    return _decoded(spec, dictionary, model)


def _decoded(spec: ModuleSpec, dictionary: DataDictionary, model: bytes) -> ModuleModel:
    return decode(dictionary, sum(_network(spec, dictionary).sizes), model)


def _records(
    dictionary: DataDictionary, kind: str, model: ModuleModel, cells: NDArray[np.uint16]
) -> Iterator[NDArray[np.float64]]:
    """Inputs of each record; shape (n_inputs,) each."""
    for start in range(0, len(cells), _CHUNK_RECORDS):
        yield from inputs_of(dictionary, kind, model.values, cells[start : start + _CHUNK_RECORDS])
