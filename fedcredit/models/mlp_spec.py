"""Public constants of the neural family: a multilayer perceptron trained by DP-SGD with plan-fixed sampling."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

INPUT_SCALE = 1024
"""Input units per unit of evidence, and lattice units per unit of what a layer reads."""
MAX_HIDDEN_LAYERS = 3
# A record whose gradient is one signal and one bias is truncated to so many steps at least.
_FEWEST_STEPS = 64
HiddenSize = Annotated[int, Field(ge=1, le=256)]


class MlpSpec(BaseModel):
    """One clipped gradient sum per round (FedSGD), so that noise of every institution simply adds.

    Attributes
    ----------
    rounds
        Charged training messages per institution.
    hidden_sizes
        Width of each hidden layer, inputs first.
    sampling_rate
        Probability q with which a record takes part in a round (Poisson sampling, done by the custodian).
    clip_l2_norm
        Largest L2 norm of one record's gradient.
    gradient_scale
        Lattice units per unit of gradient: `INPUT_SCALE` for what a layer reads, the rest for the signal.
    learning_rate
        Step length of plain gradient descent on the mean loss; no momentum, which noise would only prolong.
    init_seed
        Names the public initial weights; they are no secret and protect nobody.
    max_bins
        Bins of a numeric feature in the released counts from which its input values come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Literal["mlp"] = "mlp"
    rounds: int = Field(default=20, ge=1, le=10_000)
    hidden_sizes: tuple[HiddenSize, ...] = Field(default=(16,), min_length=1, max_length=MAX_HIDDEN_LAYERS)
    sampling_rate: float = Field(default=0.25, gt=0, le=1)
    clip_l2_norm: float = Field(default=2.0, ge=0.01, le=100)
    gradient_scale: int = Field(default=2**20, ge=2**16, le=2**20, multiple_of=INPUT_SCALE)
    learning_rate: float = Field(default=6.0, gt=0, le=1000)
    init_seed: int = Field(default=0, ge=0, lt=2**63)
    max_bins: int = Field(default=20, ge=2, le=256)

    @model_validator(mode="after")
    def _leaves_a_signal(self) -> Self:
        if self.clip_radius < _FEWEST_STEPS * INPUT_SCALE:
            raise ValueError(
                f"gradient_scale={self.gradient_scale} with clip_l2_norm={self.clip_l2_norm} truncates most gradients "
                f"to nothing; their product must be at least {_FEWEST_STEPS * INPUT_SCALE}: raise one of the two."
            )
        return self

    @property
    def clip_radius(self) -> int:
        """Largest L2 norm of one record's integer vector, in lattice units: ``clip_l2_norm`` rounded down."""
        numerator, denominator = self.clip_l2_norm.as_integer_ratio()
        return numerator * self.gradient_scale // denominator
