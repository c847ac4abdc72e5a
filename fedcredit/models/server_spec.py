"""Public constants of the coordinator's step: what it makes of a round's mean update.

References
----------
McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
arXiv 1602.05629 (FedAvg).
Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019,
arXiv 1909.06335 (FedAvgM).
Reddi et al., "Adaptive Federated Optimization", ICLR 2021, arXiv 2003.00295 (FedAdam, Algorithm 2).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_LearningRate = Annotated[float, Field(gt=0, le=1000)]
_Decay = Annotated[float, Field(ge=0, lt=1)]


class _Server(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FedAvg(_Server):
    """The mean update, times a rate."""

    optimizer: Literal["fedavg"] = "fedavg"
    learning_rate: _LearningRate = 1.0


class FedAvgM(_Server):
    """Momentum over the rounds' mean updates."""

    optimizer: Literal["fedavgm"]
    learning_rate: _LearningRate = 1.0
    momentum: _Decay = 0.9


class FedAdam(_Server):
    """Each coordinate's update over its own running size; `floor` is the paper's tau.

    Without the paper's start from zero being corrected, early steps are short; so they are here.
    """

    optimizer: Literal["fedadam"]
    learning_rate: _LearningRate = 0.03
    first_decay: _Decay = 0.9
    second_decay: _Decay = 0.99
    floor: float = Field(default=1e-3, gt=0, le=1)


ServerSpec = Annotated[FedAvg | FedAvgM | FedAdam, Field(discriminator="optimizer")]
