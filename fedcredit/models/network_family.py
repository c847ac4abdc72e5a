"""What all families of networks share: everything but the first weights, a record's gradient and a record's score.

Input values come from the released counts, weights descend on noised sums (`fedcredit.models.descent`), and what
travels are `NetworkModel` bytes, in training rounds followed by the control variate where the plan has them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import descent
from fedcredit.models.descent import Descent
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.family import LocalStep, TrainTerms
from fedcredit.models.mlp_inputs import input_values
from fedcredit.models.network_model import NetworkModel, decode
from fedcredit.preflight import Preflight

Spec = TypeVar("Spec", bound=DescentSpec)
Model = TypeVar("Model", bound=NetworkModel)


@dataclass(frozen=True, slots=True)
class NetworkState(Generic[Spec, Model]):
    """The fold of the released rounds.

    Attributes
    ----------
    spec, dictionary
        The public constants that fix all shapes.
    values
        Per feature the input value of each grid cell, in input units.
    descent
        Weights and what the rounds have left behind.
    model
        What a model is made of values and units by.
    """

    spec: Spec
    dictionary: DataDictionary
    values: tuple[NDArray[np.int16], ...]
    descent: Descent
    model: type[Model]

    @property
    def released(self) -> Model:
        """The averaged model; the current one before the second half has begun."""
        return self.model(self.values, self.descent.released)


class NetworkFamily(ABC, Generic[Spec, Model]):
    """The common part of `fedcredit.models.family.LocalFamily`.

    Attributes
    ----------
    name
        What such a network is called.
    model
        Its model's class.
    """

    name: ClassVar[str]
    model: type[Model]

    @abstractmethod
    def vector_length(self, spec: Spec, dictionary: DataDictionary) -> int:
        """Number of weights."""

    @abstractmethod
    def initial_weights(self, spec: Spec, dictionary: DataDictionary, preflight: Preflight) -> NDArray[np.float64]:
        """Where the first round starts, from public constants and released counts; shape (vector_length,)."""

    def terms(self, spec: Spec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity; clipping gives every institution type the same one."""
        return TrainTerms(
            vector_length=self.vector_length(spec, dictionary),
            scale=spec.gradient_scale,
            sampling_rate=spec.sampling_rate,
            sensitivity_squared=dict.fromkeys(dictionary.kinds, spec.clip_radius**2),
            local_steps=spec.local_steps,
            clips_units=True,
        )

    def init(
        self,
        spec: Spec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],  # noqa: ARG002  (the step length is a plan constant)
        records: NDArray[np.float64],
    ) -> NetworkState[Spec, Model]:
        """Input values from the released counts, and the first weights."""
        weights = self.initial_weights(spec, dictionary, preflight)
        values = input_values(dictionary, preflight, spec.max_bins)
        return NetworkState(spec, dictionary, values, descent.begin(weights, records), self.model)

    def broadcast(self, state: NetworkState[Spec, Model]) -> bytes:
        """Canonical bytes of the weights on which custodians take the next gradient."""
        model = self.model(state.values, descent.on_grid(state.descent.weights)).encode()
        return descent.with_control(state.spec, state.descent, model)

    def round_model(self, spec: Spec, dictionary: DataDictionary, data: bytes) -> Model:
        """The model in what `broadcast` wrote.

        Raises
        ------
        WireError
            If the bytes do not fit the plan.
        """
        model, _ = descent.split_control(spec, self.vector_length(spec, dictionary), data)
        return self.final_model(spec, dictionary, model)

    def final_model(self, spec: Spec, dictionary: DataDictionary, data: bytes) -> Model:
        """The model in what `final` wrote.

        Raises
        ------
        WireError
            If the bytes do not fit the plan.
        """
        model = decode(dictionary, self.vector_length(spec, dictionary), data, self.name)
        return self.model(model.values, model.units)

    def local_step(
        self, spec: Spec, dictionary: DataDictionary, start: bytes, current: bytes, step: LocalStep
    ) -> bytes:
        """Model bytes after one step of an institution's own."""
        first, here = (self.round_model(spec, dictionary, data) for data in (start, current))
        units = descent.local_step(spec, first.units, here.units, step.sums, step.records, step.correction)
        model = self.model(here.values, units).encode()
        return model + current[len(model) :]

    def control(
        self, spec: Spec, dictionary: DataDictionary, model: bytes, step: LocalStep | None
    ) -> NDArray[np.float64] | None:
        """Everybody's control variate in a round's model bytes, or the institution's own."""
        _, control = descent.split_control(spec, self.vector_length(spec, dictionary), model)
        if control is None or step is None:
            return control
        return descent.mean_gradient(spec, step.sums, step.records) / spec.local_steps

    def local_message(
        self, spec: Spec, dictionary: DataDictionary, start: bytes, end: bytes, records: float
    ) -> NDArray[np.int64]:
        """The gradient sum that leads from `start` to `end` in one step."""
        first, last = (self.round_model(spec, dictionary, data) for data in (start, end))
        return descent.local_message(spec, first.units, last.units, records)

    def update(self, state: NetworkState[Spec, Model], sums: NDArray[np.int64]) -> NetworkState[Spec, Model]:
        """One round of released sums."""
        return replace(state, descent=descent.descend(state.spec, state.descent, sums))

    def final(self, state: NetworkState[Spec, Model]) -> bytes:
        """Canonical bytes of the averaged model."""
        return state.released.encode()
