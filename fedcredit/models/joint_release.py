"""The released joint view as one JSON value, and how to read a person's score off it."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.joint_fit import JointFit, LinkedCounts
from fedcredit.models.joint_model import JointModel
from fedcredit.models.joint_spec import FILES, Fit
from fedcredit.models.scorecard_spec import WEIGHT_SCALE

_DECIMALS = 6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileView(_Frozen):
    """One file's view: ``intercept + slope · own view + weight · other block``.

    Attributes
    ----------
    intercept, slope, weight
        In units of 1/1024; `weight` is λ.
    intercept_stddev, slope_stddev, weight_stddev
        Uncertainty from sampling and noise together, in logits and logits per logit.
    """

    intercept: int
    slope: int
    weight: int
    intercept_stddev: float
    slope_stddev: float
    weight_stddev: float


class JointView(_Frozen):
    """The released joint view.

    Attributes
    ----------
    view
        Institution type whose customers it scores.
    fit
        How it was fitted.
    files
        Per file thickness.
    own_bins, other_bins
        Grid cell to bin, of both scores.
    own_values, other_values
        Mean score of each bin, in logits.
    surface
        Correction per own bin and other bin, in units of 1/1024 logit.
    counts
        Released counts per own bin, other bin, file and label (good, bad), noise included; may be negative.
    noise_stddev
        Standard deviation of the noise on one count.
    """

    family: Literal["joint"] = "joint"
    weight_scale: int = WEIGHT_SCALE
    view: str
    fit: Fit
    files: dict[str, FileView]
    own_bins: tuple[int, ...]
    other_bins: tuple[int, ...]
    own_values: tuple[float, ...]
    other_values: tuple[float, ...]
    surface: tuple[tuple[int, ...], ...]
    counts: tuple[tuple[tuple[tuple[float, float], ...], ...], ...]
    noise_stddev: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")


def read_joint_view(value: object) -> JointView:
    """Read a released joint view from its JSON value.

    Raises
    ------
    ConfigError
        If the value is not one.
    """
    try:
        return JointView.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"not a released joint view: {error.errors()[0]['msg']}; was it edited?") from error


def describe(
    dictionary: DataDictionary, how: Fit, model: JointModel, fitted: JointFit, released: LinkedCounts
) -> JointView:
    """Put a fitted view into words and numbers."""
    k1, k2 = len(released.own), len(released.other)
    return JointView(
        view=dictionary.kinds[0],
        fit=how,
        files={name: _file_view(model, fitted, index) for index, name in enumerate(FILES)},
        own_bins=tuple(model.bins.own.tolist()),
        other_bins=tuple(model.bins.other.tolist()),
        own_values=_rounded(released.own.mean(axis=1)),
        other_values=_rounded(released.other.mean(axis=1)),
        surface=tuple(map(tuple, model.surface[:k1, :k2].tolist())),
        counts=np.round(released.counts, _DECIMALS).tolist(),
        noise_stddev=round(released.noise_variance**0.5, _DECIMALS),
    )


def _file_view(model: JointModel, fitted: JointFit, index: int) -> FileView:
    intercept, slope, weight = model.coefficients[index].tolist()
    spread = _rounded(fitted.stddev[index])
    return FileView(
        intercept=intercept,
        slope=slope,
        weight=weight,
        intercept_stddev=spread[0],
        slope_stddev=spread[1],
        weight_stddev=spread[2],
    )


def _rounded(values: Any) -> tuple[float, ...]:  # noqa: ANN401  (an array or a row of one)
    return tuple(round(float(value), _DECIMALS) for value in values)
