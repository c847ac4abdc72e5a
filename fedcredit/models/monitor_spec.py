"""The public constants of a monitoring job: which released model is looked at, and in which score bins."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.evaluation.score_grid import room_for
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.roster import HashHex

MonitoredSpec = Annotated[ScorecardSpec | MlpSpec | AdditiveSpec, Field(discriminator="family")]
"""A family whose margins need nothing but the wheel: a module's own code is not run through a model's bytes."""


class MonitorSpec(BaseModel):
    """A released model as it stands, scored once over new records.

    Attributes
    ----------
    rounds
        One: a histogram is asked for once.
    trained_by
        Hash of the plan under which the model was trained.
    scored
        That plan's model constants.
    model
        The released model's bytes as hex. They stand in the plan, so that every institution approves, hashes and scores
        one and the same model.
    score_low, score_high
        Lowest and highest interior edge of the score bins, in margin units: those of the release to compare with.
    score_bins
        Number of bins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Literal["monitor"] = "monitor"
    rounds: Literal[1] = 1
    trained_by: HashHex
    scored: MonitoredSpec
    model: str = Field(pattern=r"^([0-9a-f]{2})+$", max_length=2**23)
    score_low: int = Field(ge=-(2**20), le=2**20)
    score_high: int = Field(ge=-(2**20), le=2**20)
    score_bins: int = Field(ge=5, le=1000)

    @model_validator(mode="after")
    def _room(self) -> Self:
        if not room_for(self.score_bins, self.score_low, self.score_high):
            raise ValueError(f"{self.score_bins} score bins do not fit between {self.score_low} and {self.score_high}")
        return self

    @property
    def model_bytes(self) -> bytes:
        """The released model."""
        return bytes.fromhex(self.model)
