"""The public constants of the scorecard family, as they stand in a plan."""

from typing import Literal

from fedcredit.models.binned_spec import BinnedSpec

WEIGHT_SCALE = 1024
"""Units per logit of the integer weights and margins."""

MARGIN_LIMIT = 8 * WEIGHT_SCALE
"""Margins are read from the residual table between -8 and +8 logits; weights stay within the same bounds."""


class ScorecardSpec(BinnedSpec):
    """Logistic regression on bins."""

    family: Literal["scorecard"] = "scorecard"
