"""The perceptron's model: a network's (`fedcredit.models.network_model`), read as layers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import network_model
from fedcredit.models.mlp_gradients import forward
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_layout import Layer, split, vector_length
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.network_model import NetworkModel, margins_of

NAME = "perceptron"


@dataclass(frozen=True, slots=True)
class MlpModel(NetworkModel):
    """Everything that scoring and gradients need."""

    def layers(self, spec: MlpSpec, dictionary: DataDictionary) -> tuple[Layer, ...]:
        """Weights and biases by layer, the first part by part, in weight units."""
        return split(spec, dictionary, self.units.astype(np.float64))


def decode(spec: MlpSpec, dictionary: DataDictionary, data: bytes) -> MlpModel:
    """Read what `MlpModel.encode` wrote.

    Raises
    ------
    WireError
        If the length is not the plan's, or a value or weight lies outside its public range.
    """
    model = network_model.decode(dictionary, vector_length(spec, dictionary), data, NAME)
    return MlpModel(model.values, model.units)


def margins(spec: MlpSpec, dictionary: DataDictionary, view: str, model: MlpModel, cells: Cells) -> NDArray[np.int64]:
    """Log-odds of the bad class in margin units; shape (n,)."""
    inputs = design(spec, dictionary, view, model.values, cells).T
    _, logits = forward(model.layers(spec, dictionary), inputs)
    return margins_of(logits)
