"""Public constants of the neural family: a multilayer perceptron trained by DP-SGD with plan-fixed sampling."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedcredit.models.descent_spec import INPUT_SCALE, DescentSpec

MAX_HIDDEN_LAYERS = 3
# A record whose gradient is one signal and one bias is truncated to so many steps at least.
_FEWEST_STEPS = 64
HiddenSize = Annotated[int, Field(ge=1, le=256)]


class MlpSpec(DescentSpec):
    """A stack of linear layers with tanh between them.

    Attributes
    ----------
    hidden_sizes
        Width of each hidden layer, inputs first; with encoders, of each layer above them.
    encoder_units
        Width of the encoder of each block: a first hidden layer whose units read one block of features and the bit
        "this block is there". 0 for a first layer that reads all features and the institution type.
    gradient_scale
        As inherited; of its lattice units per unit of gradient, `INPUT_SCALE` are for what a layer reads and the rest
        for the signal.
    """

    family: Literal["mlp"] = "mlp"
    hidden_sizes: tuple[HiddenSize, ...] = Field(default=(16,), min_length=1, max_length=MAX_HIDDEN_LAYERS)
    encoder_units: int = Field(default=0, ge=0, le=256)

    @model_validator(mode="after")
    def _leaves_a_signal(self) -> Self:
        if self.clip_radius < _FEWEST_STEPS * INPUT_SCALE:
            raise ValueError(
                f"gradient_scale={self.gradient_scale} with clip_l2_norm={self.clip_l2_norm} truncates most gradients "
                f"to nothing; their product must be at least {_FEWEST_STEPS * INPUT_SCALE}: raise one of the two."
            )
        return self
