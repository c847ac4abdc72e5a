"""Public constants of federated DP-SGD, whatever the network: sampling, clipping, local and server steps."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.models.server_spec import FedAvg, ServerSpec

INPUT_SCALE = 1024
"""Input units per unit of evidence."""


class DescentSpec(BaseModel):
    """Clipped gradient sums of Poisson samples, noised at every local step.

    Attributes
    ----------
    rounds
        Charged training messages per institution.
    sampling_rate
        Probability q with which a unit of privacy takes part in a local step (Poisson sampling, done by the custodian).
    local_steps
        Noised gradient steps K that an institution takes on its own before it sends where it has come to. More than one
        needs local noise: a step of one's own needs a whole noise of one's own.
    proximal
        Pull back towards the round's first weights at each local step, per unit of distance (FedProx; Li et al.,
        arXiv 1812.06127).
    control_variates
        Correct each local step by how the institution's own noised gradients of its last message differ from those of
        all (SCAFFOLD; Karimireddy et al., ICML 2020, arXiv 1910.06378, option II).
    clip_l2_norm
        Largest L2 norm of the gradient of one unit of privacy.
    gradient_scale
        Lattice units per unit of gradient.
    learning_rate
        Length of a local step of plain gradient descent on the mean loss.
    server
        What the coordinator makes of the mean update.
    init_seed
        Names the public initial weights; they are no secret and protect nobody.
    max_bins
        Bins of a numeric feature in the released counts from which its input values come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(default=20, ge=1, le=10_000)
    sampling_rate: float = Field(default=0.25, ge=1e-6, le=1)
    local_steps: int = Field(default=1, ge=1, le=1000)
    proximal: float = Field(default=0.0, ge=0, le=1000)
    control_variates: bool = False
    clip_l2_norm: float = Field(default=2.0, ge=0.01, le=100)
    gradient_scale: int = Field(default=2**20, ge=2**16, le=2**20, multiple_of=INPUT_SCALE)
    learning_rate: float = Field(default=6.0, ge=1e-4, le=1000)
    server: ServerSpec = FedAvg()
    init_seed: int = Field(default=0, ge=0, lt=2**63)
    max_bins: int = Field(default=20, ge=2, le=256)

    @model_validator(mode="after")
    def _pulls_back_from_somewhere(self) -> Self:
        if self.proximal and self.local_steps == 1:
            raise ValueError("proximal has no effect on the first of local_steps; set local_steps above 1, or leave it")
        if self.control_variates and self.local_steps == 1:
            raise ValueError("control_variates correct local steps; set local_steps above 1, or leave them")
        if self.proximal * self.learning_rate >= 1:
            raise ValueError(
                f"proximal={self.proximal} times learning_rate={self.learning_rate} overshoots; keep it below 1"
            )
        return self

    @property
    def clip_radius(self) -> int:
        """Largest L2 norm of one unit's integer vector, in lattice units: ``clip_l2_norm`` rounded down."""
        numerator, denominator = self.clip_l2_norm.as_integer_ratio()
        return numerator * self.gradient_scale // denominator
