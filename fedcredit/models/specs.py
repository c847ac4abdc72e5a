"""The public constants of each model family, as they stand in a plan."""

from typing import Annotated

from pydantic import Field

from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.joint_spec import JointSpec
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.scorecard_spec import ScorecardSpec

ModelSpec = Annotated[ScorecardSpec | MlpSpec | AdditiveSpec | ModuleSpec | JointSpec, Field(discriminator="family")]
