"""What a linked dictionary must hold for the joint family, and where a cell of its histogram lies."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.cells import cell_bounds
from fedcredit.dictionary.schema import DataDictionary, Feature
from fedcredit.errors import ConfigError
from fedcredit.models.joint_spec import FILES, JointSpec
from fedcredit.models.scorecard_spec import WEIGHT_SCALE

OWN, OTHER, FILE = "own_view", "other_block", "file"
FEATURES = (OWN, OTHER, FILE)
"""Features of a linked dictionary, in this order."""


@dataclass(frozen=True, slots=True)
class JointLayout:
    """The training vector: own bin, other bin, file, label, the last index running fastest.

    Attributes
    ----------
    shape
        Own bins, other bins, files and labels.
    own_values, other_values
        Per grid cell its logits in units of 1/1024; a missing value says nothing and stands at 0.
    """

    shape: tuple[int, int, int, int]
    own_values: NDArray[np.int64]
    other_values: NDArray[np.int64]

    @property
    def length(self) -> int:
        """Number of coordinates."""
        return int(np.prod(self.shape))


def layout(spec: JointSpec, dictionary: DataDictionary) -> JointLayout:
    """Lay out the histogram.

    Raises
    ------
    ConfigError
        If the dictionary is not a linked one.
    """
    if dictionary.feature_names != FEATURES or len(dictionary.kinds) != 1 or dictionary.features[2].codes != FILES:
        raise ConfigError(
            f"model family 'joint' reads the features {', '.join(FEATURES)} of one institution type, which dictionary "
            f"{dictionary.name!r} does not have; write one with 'fedcredit linked dictionary'."
        )
    return _layout(spec.own_bins, spec.other_bins, *(_values(feature) for feature in dictionary.features[:2]))


@lru_cache(maxsize=64)
def _layout(own_bins: int, other_bins: int, own: tuple[int, ...], other: tuple[int, ...]) -> JointLayout:
    return JointLayout((own_bins, other_bins, len(FILES), 2), np.array(own), np.array(other))


def _values(feature: Feature) -> tuple[int, ...]:
    middles = (round(WEIGHT_SCALE * (low + high) / 2) for low, high in cell_bounds(feature))
    return (*middles, 0)
