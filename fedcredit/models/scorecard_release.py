"""The released table: bins in words, integer weights and the evidence behind them, as one JSON value.

The additive network is released as its values at the bins, so it reads like a scorecard and adds up like one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fedcredit.binning import information_value, weight_of_evidence
from fedcredit.dictionary.schema import DataDictionary, Feature
from fedcredit.errors import ConfigError
from fedcredit.models.bin_labels import bin_label
from fedcredit.models.scorecard_layout import Layout
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.models.scorecard_start import Start

# Digits of derived figures; weights are exact integers.
_DECIMALS = 6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ScorecardBin(_Frozen):
    """One bin.

    Attributes
    ----------
    label
        Its values in words.
    cells
        Grid cells that it joins, increasing.
    good, bad
        Released counts, noise included; may be negative.
    woe, iv
        Weight of evidence (positive = safer) and part of the information value, from those counts.
    weight
        Log-odds of bad in units of 1/1024 logit.
    """

    label: str
    cells: tuple[int, ...]
    good: float
    bad: float
    woe: float
    iv: float
    weight: int


class ScorecardFeature(_Frozen):
    """One feature: its bins in order, and its information value, which noise biases upwards."""

    name: str
    block: str
    iv: float
    bins: tuple[ScorecardBin, ...]


class _Table(_Frozen):
    weight_scale: int = WEIGHT_SCALE
    intercepts: dict[str, int]
    views: dict[str, tuple[str, ...]]
    features: tuple[ScorecardFeature, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")


class Scorecard(_Table):
    """The released scorecard.

    Attributes
    ----------
    weight_scale
        Units per logit.
    intercepts
        Per institution type, in units of 1/1024 logit.
    views
        Per institution type the features that score its customers.
    features
        In dictionary order.
    """

    family: Literal["scorecard"] = "scorecard"


class AdditiveTable(_Table):
    """The released additive network: what `Scorecard` has, a weight being the network's value at the bin."""

    family: Literal["additive"] = "additive"


BinnedModel = Scorecard | AdditiveTable
BINNED_FAMILIES = ("scorecard", "additive")
"""Families that are released as one table per feature."""

_ADAPTER: TypeAdapter[BinnedModel] = TypeAdapter(Annotated[BinnedModel, Field(discriminator="family")])


def read_release(value: object) -> BinnedModel:
    """Read a released table from its JSON value.

    Raises
    ------
    ConfigError
        If the value is not one.
    """
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        named = value.get("family") if isinstance(value, Mapping) else None
        family = named if named in BINNED_FAMILIES else "scorecard or additive network"
        raise ConfigError(f"not a released {family}: {error.errors()[0]['msg']}; was it edited?") from error


def describe(dictionary: DataDictionary, plan: Layout, start: Start, weights: NDArray[np.int64]) -> dict[str, Any]:
    """The fields of a released table.

    Parameters
    ----------
    weights
        Shape (layout length,), units of 1/1024 logit.
    """
    return {
        "intercepts": {kind: int(weights[plan.first_intercept + k]) for k, kind in enumerate(dictionary.kinds)},
        "views": {kind: tuple(f.name for f in dictionary.owned_features(kind)) for kind in dictionary.kinds},
        "features": tuple(
            _feature(start, index, feature, weights[plan.slots[index]].tolist())
            for index, feature in enumerate(dictionary.features)
        ),
    }


def _feature(start: Start, index: int, feature: Feature, weights: list[int]) -> ScorecardFeature:
    counts, of_cell = start.counts[index], start.bins[index]
    woe, iv = weight_of_evidence(counts), information_value(counts)
    cells = [tuple(np.flatnonzero(of_cell == b).tolist()) for b in range(len(counts))]
    bins = (
        ScorecardBin(
            label=bin_label(feature, cells[b]),
            cells=cells[b],
            good=_rounded(counts[b, 0]),
            bad=_rounded(counts[b, 1]),
            woe=_rounded(woe[b]),
            iv=_rounded(iv[b]),
            weight=weights[b],
        )
        for b in range(len(counts))
    )
    return ScorecardFeature(name=feature.name, block=feature.block, iv=_rounded(np.add.reduce(iv)), bins=tuple(bins))


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS)
