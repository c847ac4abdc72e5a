"""Why a customer scored as they did: what each feature adds to the log-odds, and the reasons against them in words.

In an additive model a feature's contribution is exact: its value for the customer's bin minus its mean over the
population of the released counts. Base and contributions add up to the score, and nothing but the released model and
the customer's own cells is looked at, so explaining costs no privacy. A model that is not additive can fill the same
`Contributions` by a method of its own.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 6 (adverse codes). Lundberg and Lee, "A Unified Approach to
Interpreting Model Predictions", NeurIPS 2017, sec. 4.1 (Shapley values of a sum of functions are these differences if
features are independent).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.scorecard_release import BINNED_FAMILIES, BinnedModel, ScorecardFeature, read_release

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contributions:
    """Log-odds of bad, taken apart.

    Attributes
    ----------
    features
        Names of the J features that score, in dictionary order.
    base
        Logits: the score at the mean of every feature.
    values
        Shape (n, J), logits: what each feature adds to the base; positive counts against the customer.
    """

    features: tuple[str, ...]
    base: float
    values: Floats

    @property
    def scores(self) -> Floats:
        """Log-odds of bad; shape (n,)."""
        return np.asarray(self.base + np.add.reduce(self.values, axis=1))


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a customer.

    Attributes
    ----------
    feature
        Its name.
    text
        As the dictionary words it for an applicant.
    contribution
        Logits, positive.
    """

    feature: str
    text: str
    contribution: float


def contributions(released: Mapping[str, Any], view: str, cells: NDArray[np.uint16]) -> Contributions:
    """Take the scores of an additive model apart.

    Parameters
    ----------
    released
        JSON value of a released scorecard or additive network.
    view
        Institution type whose customers these are.
    cells
        Shape (n, J): grid cells of the type's features, in dictionary order.

    Raises
    ------
    ConfigError
        If the model is of another family or was edited, the type is unknown, or the cells do not fit it.
    """
    if released.get("family") not in BINNED_FAMILIES:
        raise ConfigError(
            f"a released model of family {released.get('family')!r} is no table per feature; "
            f"exact contributions exist for {' and '.join(BINNED_FAMILIES)}."
        )
    model = read_release(released)
    features = _features(model, view, cells)
    tables = [_cell_values(feature) / model.weight_scale for feature in features]
    means = [_mean(feature) / model.weight_scale for feature in features]
    values = np.zeros(cells.shape)
    for column, (table, mean) in enumerate(zip(tables, means, strict=True)):
        values[:, column] = table[cells[:, column]] - mean
    return Contributions(
        tuple(feature.name for feature in features), model.intercepts[view] / model.weight_scale + sum(means), values
    )


def top_reasons(dictionary: DataDictionary, found: Contributions, most: int = 4) -> tuple[tuple[Reason, ...], ...]:
    """Per customer the features that count against them most, heaviest first.

    Parameters
    ----------
    most
        Largest number of reasons; fewer where fewer features count against the customer.

    Returns
    -------
    tuple of tuple of Reason
        One tuple per row of ``found.values``; ties keep the dictionary's order.
    """
    texts = {feature.name: feature.reason for feature in dictionary.features}
    order = np.argsort(-found.values, axis=1, kind="stable")[:, : max(most, 0)]
    return tuple(
        tuple(
            Reason(found.features[j], texts[found.features[j]], float(row[j])) for j in heaviest.tolist() if row[j] > 0
        )
        for row, heaviest in zip(found.values, order, strict=True)
    )


def _features(model: BinnedModel, view: str, cells: NDArray[np.uint16]) -> tuple[ScorecardFeature, ...]:
    if view not in model.views:
        raise ConfigError(f"the model scores customers of {', '.join(model.views)}, not of {view!r}.")
    features = tuple(feature for feature in model.features if feature.name in model.views[view])
    if cells.ndim != 2 or cells.shape[1] != len(features):
        raise ConfigError(f"cells for {view} need shape (n, {len(features)}), got {cells.shape}.")
    for column, feature in enumerate(features):
        limit = sum(len(one.cells) for one in feature.bins)
        if cells.shape[0] and int(cells[:, column].max()) >= limit:
            raise ConfigError(f"{feature.name} has {limit} cells, but a row names a later one; was its grid changed?")
    return features


def _cell_values(feature: ScorecardFeature) -> Floats:
    """Weight of each grid cell, in the model's units; shape (n_cells,)."""
    table = np.zeros(sum(len(one.cells) for one in feature.bins))
    for one in feature.bins:
        table[list(one.cells)] = one.weight
    return table


def _mean(feature: ScorecardFeature) -> float:
    """Mean weight over the released counts; noise may have made some of them negative, which count as none."""
    counts = [max(one.good + one.bad, 0.0) for one in feature.bins]
    total = sum(counts)
    if total == 0:
        return sum(one.weight for one in feature.bins) / len(feature.bins)
    return sum(count * one.weight for count, one in zip(counts, feature.bins, strict=True)) / total
