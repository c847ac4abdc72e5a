"""The public constants that every model made of one table per feature shares, as they stand in a plan."""

from pydantic import BaseModel, ConfigDict, Field


class BinnedSpec(BaseModel):
    """An additive model on bins: what custodians do with it does not depend on how the coordinator fits it.

    Attributes
    ----------
    rounds
        Charged training messages per institution.
    max_bins
        Most bins of one feature; a feature takes ``min(n_cells, max_bins)`` coordinates of every round.
    residual_scale
        Lattice units s per unit of residual; a record contributes an integer in [-s, s].
    min_bin_share
        Smallest share of the records in a bin; noise in the released counts raises the floor.
    prior_stddev
        Standard deviation, in logits, of the Gaussian prior on a weight: the ridge penalty is
        ``1 / prior_stddev**2`` (scikit-learn: ``C = prior_stddev**2``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(default=20, ge=1, le=1000)
    max_bins: int = Field(default=16, ge=2, le=256)
    residual_scale: int = Field(default=1024, ge=64, le=4096)
    min_bin_share: float = Field(default=0.01, gt=0, le=0.5)
    prior_stddev: float = Field(default=0.25, gt=0, le=10)
