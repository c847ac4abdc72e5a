"""The released perceptron read back: whoever has the released file and the dictionary can score and explain.

What is read is written again, and the two must be equal. So an edited file, or one trained under another dictionary,
is refused, and there is one description of the format (`fedcredit.models.mlp_release`).
"""

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.descent import WEIGHT_BITS
from fedcredit.models.mlp_inputs import INPUT_BOUND
from fedcredit.models.mlp_layout import vector_length
from fedcredit.models.mlp_model import MlpModel
from fedcredit.models.mlp_release import release
from fedcredit.models.mlp_spec import MlpSpec

_Weight = Annotated[int, Field(ge=-(2**WEIGHT_BITS), le=2**WEIGHT_BITS)]
_Value = Annotated[int, Field(ge=-INPUT_BOUND, le=INPUT_BOUND)]


class _Numbers(BaseModel):
    model_config = ConfigDict(strict=True)  # other keys are compared when all is written again


class _Layer(_Numbers):
    weights: list[list[_Weight]]
    biases: list[_Weight] | None = None


class _Released(_Numbers):
    inputs: dict[str, list[_Value]]
    encoders: list[_Layer] = []
    layers: list[_Layer] = Field(min_length=1)


def read_mlp(released: Mapping[str, Any], dictionary: DataDictionary) -> tuple[MlpSpec, MlpModel]:
    """Read the JSON value of a released perceptron.

    Returns
    -------
    MlpSpec
        The network's shape; how it was trained is not in the file, so the rest are defaults.
    MlpModel
        Input values and weights.

    Raises
    ------
    ConfigError
        If it is none, was edited, or belongs to another dictionary.
    """
    try:
        read = _Released.model_validate(released)
        spec = MlpSpec(
            hidden_sizes=tuple(len(layer.weights) for layer in read.layers[:-1]),
            encoder_units=len(read.encoders[0].weights) if read.encoders else 0,
        )
    except ValidationError as error:
        raise ConfigError(f"not a released perceptron: {error.errors()[0]['msg']}; was it edited?") from error
    values = tuple(np.array(read.inputs.get(name, []), dtype=np.int16) for name in dictionary.feature_names)
    units = np.array(list(chain.from_iterable(map(_flat, [*read.encoders, *read.layers]))), dtype=np.int32)
    model = MlpModel(values, units)
    fits = len(units) == vector_length(spec, dictionary) and all(
        len(part) == feature.n_cells for part, feature in zip(values, dictionary.features, strict=True)
    )
    if not fits or release(spec, dictionary, model) != released:
        raise ConfigError(
            f"the released perceptron is not one of dictionary {dictionary.name!r}, or was edited; give the dictionary "
            "of its plan and the file as it was released."
        )
    return spec, model


def _flat(layer: _Layer) -> list[int]:
    return [*chain.from_iterable(layer.weights), *(layer.biases or [])]
