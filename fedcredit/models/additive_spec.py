"""The public constants of the additive network, as they stand in a plan."""

from typing import Literal

from pydantic import Field

from fedcredit.models.binned_spec import BinnedSpec


class AdditiveSpec(BinnedSpec):
    """One small network per feature, logits summed.

    Attributes
    ----------
    hidden_units
        Width of the one hidden layer of each feature's network.
    """

    family: Literal["additive"] = "additive"
    hidden_units: int = Field(default=16, ge=1, le=64)
