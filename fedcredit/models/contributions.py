"""Why a customer scored as they did: what each feature adds to the log-odds, and the reasons against them in words.

One function for every family, which looks at nothing but the released model and the customer's own cells: what is
released stays differentially private whatever is computed from it, and the record stays where it is, so explaining
costs no privacy.

An additive model is taken apart exactly: a feature's contribution is its value for the customer's bin minus its mean
over the population of the released counts. A perceptron is taken apart by integrated gradients from the customer of
whom nothing is known but the institution's type: all inputs are weights of evidence, and 0 says nothing. What its
rounded activations and the numerical integral leave over is shared out in proportion to the contributions, so that
base and contributions add up to the released score in both cases; a missing value is a cell with evidence of its own.

References
----------
Siddiqi, "Credit Risk Scorecards", Wiley, 2006, ch. 6 (adverse codes). Lundberg and Lee, "A Unified Approach to
Interpreting Model Predictions", NeurIPS 2017, sec. 4.1 (Shapley values of a sum of functions are these differences if
features are independent). Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017,
arXiv 1703.01365.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.integrated_gradients import integrated_gradients
from fedcredit.models.mlp_gradients import forward
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_layout import input_columns
from fedcredit.models.mlp_reader import read_mlp
from fedcredit.models.mlp_slopes import smooth
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
        Logits: the score of a customer of whom no feature is known; in an additive model, at every feature's mean.
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


def explain(
    released: Mapping[str, Any], dictionary: DataDictionary, view: str, cells: NDArray[np.uint16]
) -> Contributions:
    """Take the scores of a released model apart.

    Parameters
    ----------
    released
        JSON value of the model.
    dictionary
        The dictionary under which it was trained.
    view
        Institution type whose customers these are.
    cells
        Shape (n, J): grid cells of the type's features, in dictionary order.

    Returns
    -------
    Contributions
        Their scores are the model's log-odds, before evaluation rounds and clips them.

    Raises
    ------
    ConfigError
        If the model is of a family that cannot be explained, was edited or belongs to another dictionary, the type is
        unknown, or the cells do not fit it.
    """
    method = _METHODS.get(str(released.get("family")))
    if method is None:
        raise ConfigError(
            f"a released model of family {released.get('family')!r} cannot be explained; {', '.join(_METHODS)} can."
        )
    _require_cells(dictionary, view, cells)
    return method(released, dictionary, view, cells)


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


def _require_cells(dictionary: DataDictionary, view: str, cells: NDArray[np.uint16]) -> None:
    features = dictionary.owned_features(view)
    if cells.ndim != 2 or cells.shape[1] != len(features):
        raise ConfigError(f"cells for {view} need shape (n, {len(features)}), got {cells.shape}.")
    for feature, column in zip(features, cells.T, strict=True):
        if int(column.max(initial=0)) >= feature.n_cells:
            raise ConfigError(
                f"{feature.name} has {feature.n_cells} cells, but a row names a later one; was its grid changed?"
            )


def _of_tables(
    released: Mapping[str, Any], dictionary: DataDictionary, view: str, cells: NDArray[np.uint16]
) -> Contributions:
    model = read_release(released)
    features = _tables(model, dictionary, view)
    tables = [_cell_values(feature) / model.weight_scale for feature in features]
    means = [_mean(feature) / model.weight_scale for feature in features]
    values = np.zeros(cells.shape)
    for column, (table, mean) in enumerate(zip(tables, means, strict=True)):
        values[:, column] = table[cells[:, column]] - mean
    base = model.intercepts[view] / model.weight_scale + sum(means)
    return Contributions(tuple(feature.name for feature in features), base, values)


def _of_perceptron(
    released: Mapping[str, Any], dictionary: DataDictionary, view: str, cells: NDArray[np.uint16]
) -> Contributions:
    spec, model = read_mlp(released, dictionary)
    layers, customers = model.layers(spec, dictionary), design(spec, dictionary, view, model.values, cells).T
    columns, _ = input_columns(spec, dictionary, view)
    nobody = design(spec, dictionary, view, model.values, np.zeros((1, cells.shape[1]), dtype=np.uint16)).T
    nobody[columns] = 0.0
    start = np.broadcast_to(nobody, customers.shape) / INPUT_SCALE
    values = integrated_gradients(smooth(layers), start, customers / INPUT_SCALE)[columns].T
    base = float(forward(layers, nobody)[1][0])
    names = tuple(feature.name for feature in dictionary.owned_features(view))
    return Contributions(names, base, _completed(values, forward(layers, customers)[1] - base))


_METHODS = {**dict.fromkeys(BINNED_FAMILIES, _of_tables), "mlp": _of_perceptron}


def _completed(values: Floats, rises: Floats) -> Floats:
    """Share what is left over of each rise in proportion: nothing stays nothing, and equals stay equal."""
    sizes = np.abs(values)
    totals = np.add.reduce(sizes, axis=1)
    rests = np.divide(rises - np.add.reduce(values, axis=1), totals, out=np.zeros(len(values)), where=totals > 0)
    return np.asarray(values + sizes * rests[:, None])


def _tables(model: BinnedModel, dictionary: DataDictionary, view: str) -> tuple[ScorecardFeature, ...]:
    by_name = {feature.name: feature for feature in model.features}
    owned = dictionary.owned_features(view)
    sizes = {name: sum(len(one.cells) for one in feature.bins) for name, feature in by_name.items()}
    if model.views.get(view) != tuple(f.name for f in owned) or any(sizes.get(f.name) != f.n_cells for f in owned):
        raise ConfigError(
            f"the model does not read a {view}'s features of dictionary {dictionary.name!r}; give the one of its plan."
        )
    return tuple(by_name[feature.name] for feature in owned)


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
