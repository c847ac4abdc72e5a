"""STAND-IN by the lead (to be replaced by C's)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class ScorecardSpec(BaseModel):
    """Stand-in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: Literal["scorecard"] = "scorecard"
    rounds: int = 20
    max_bins: int = 8
    residual_scale: int = 1024
