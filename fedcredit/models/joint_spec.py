"""The public constants of the joint family, as they stand in a plan."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

COUNT_SCALE = 1024
"""Lattice units per record of the one training message."""

FILES = ("thin", "thick")
"""Codes of the feature ``file``, in cell order; a missing one counts as thick."""

Fit = Literal["one", "by_file", "surface"]


class JointSpec(BaseModel):
    """One charged histogram over linked rows, from which the joint view is fitted.

    Attributes
    ----------
    rounds
        One: the family asks once.
    fit
        What is fitted to the released counts: ``one`` weight λ for all, ``by_file`` one per file thickness, shrunk
        towards each other, or ``surface``, which adds a smooth correction by both scores.
    own_bins, other_bins
        Most bins of the own view and of the other institution's block; noise makes them fewer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Literal["joint"] = "joint"
    rounds: Literal[1] = 1
    fit: Fit = "by_file"
    own_bins: int = Field(default=16, ge=2, le=32)
    other_bins: int = Field(default=8, ge=2, le=32)
