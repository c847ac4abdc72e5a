"""The public constants of each model family, as they stand in a plan."""

from typing import Annotated

from fedcredit.models.scorecard_spec import ScorecardSpec
from pydantic import Field

ModelSpec = Annotated[ScorecardSpec, Field(discriminator="family")]
