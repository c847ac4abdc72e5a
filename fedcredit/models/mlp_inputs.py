r"""From released class counts to the number that each grid cell feeds into the perceptron.

A cell's value is its weight of evidence ln(P(cell | bad) / P(cell | good)): one scale for amounts, codes and
missing values, and 0 means "says nothing", which is also what a record has for a column that its institution
does not own. Thin neighbouring cells of a numeric feature share one estimate, and every estimate is shrunk by
τ²/(τ² + v), where v is the variance that sampling and noise leave in it (empirical Bayes, τ² = 1 before
the counts are seen). All of it is post-processing of the charged preflight.

References
----------
Siddiqi, "Credit Risk Scorecards", 2006, on the weight of evidence.
Efron and Morris, "Stein's Estimation Rule and Its Competitors", JASA 68, 1973, on the shrinkage.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.dictionary.schema import DataDictionary, Feature
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.mlp_layout import input_columns, n_inputs
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.preflight import Preflight

INPUT_BOUND = 3 * INPUT_SCALE
"""Largest absolute input value, in input units."""
_PRIOR_VARIANCE = 1.0
_NOISE_STDDEVS = 4.0  # a bin's mass in standard deviations of its noise


def input_values(dictionary: DataDictionary, released: Preflight, max_bins: int) -> tuple[NDArray[np.int16], ...]:
    """Value of every grid cell of every feature, in input units within ±`INPUT_BOUND`.

    Parameters
    ----------
    released
        Noisy counts; a feature that no institution of the job owns has none and gets zeros.
    max_bins
        A bin of a numeric feature holds at least this fraction of the records, one part in `max_bins`.
    """
    return tuple(
        _values(counts, bin_of_cell(feature, counts.sum(axis=1), noise_stddev, max_bins), noise_stddev)
        for feature, counts, noise_stddev in zip(
            dictionary.features, released.counts, released.noise_stddev, strict=True
        )
    )


def bin_of_cell(feature: Feature, totals: NDArray[np.float64], noise_stddev: float, max_bins: int) -> NDArray[np.int64]:
    """Group neighbouring cells until each group is heavy against its noise.

    Codes of a category have no neighbours and stay apart; so do the missing cell and any cell that is heavy by
    itself (an atom such as zero).

    Parameters
    ----------
    totals
        Shape (n_cells,): noisy counts of both classes.
    noise_stddev
        Of the noise on the count of one class.

    Returns
    -------
    ndarray of int64, shape (n_cells,)
        Group of each cell, rising from 0.
    """
    if feature.codes:
        return np.arange(feature.n_cells)
    share = float(totals.sum()) / max_bins

    def is_heavy(mass: float, cells: int) -> bool:
        return mass >= max(share, _NOISE_STDDEVS * noise_stddev * math.sqrt(2 * cells))

    groups = np.zeros(feature.n_cells, dtype=np.int64)
    group, mass, size = 0, 0.0, 0
    for cell, total in enumerate(totals[:-1].tolist()):
        if size and is_heavy(total, 1):
            group, mass, size = group + 1, 0.0, 0
        groups[cell] = group
        mass, size = mass + total, size + 1
        if is_heavy(mass, size):
            group, mass, size = group + 1, 0.0, 0
    groups[-1] = group + 1 if size else group
    return groups


def design(
    spec: MlpSpec,
    dictionary: DataDictionary,
    kind: str,
    values: tuple[NDArray[np.int16], ...],
    cells: Cells,
) -> NDArray[np.float64]:
    """Inputs of each record in input units, zeros where its institution type owns nothing.

    Parameters
    ----------
    cells
        Shape (n, J_own): grid cells of the features that `kind` owns.

    Returns
    -------
    ndarray of float64, shape (n, n_inputs)
        Whole numbers within ±`INPUT_BOUND`, in the order of `fedcredit.models.mlp_layout`.
    """
    owned = dictionary.owned(kind)
    features, bits = input_columns(spec, dictionary, kind)
    inputs = np.zeros((len(cells), n_inputs(spec, dictionary)), dtype=np.float64)
    starts = np.cumsum([0, *(len(values[index]) for index in owned[:-1])])
    inputs[:, features] = np.concatenate([values[index] for index in owned])[cells + starts]
    inputs[:, bits] = INPUT_SCALE
    return inputs


def _values(counts: NDArray[np.float64], groups: NDArray[np.int64], noise_stddev: float) -> NDArray[np.int16]:
    size = np.bincount(groups).astype(np.float64)
    total = np.maximum(counts.sum(axis=0), 1.0)
    # A group in which noise has drowned a class is read as one of the feature's own mix of classes: no evidence.
    floor = 2 * (1.0 + noise_stddev * np.sqrt(size)) * (total / total.sum())[:, None]
    goods, bads = (np.maximum(np.bincount(groups, counts[:, label]), floor[label]) for label in (0, 1))
    evidence = np.log(bads / goods) - math.log(total[1] / total[0])
    noise = noise_stddev**2 * size
    variance = 1 / goods + 1 / bads + noise * (1 / goods**2 + 1 / bads**2)
    shrunk = evidence * _PRIOR_VARIANCE / (_PRIOR_VARIANCE + variance)
    units: NDArray[np.int16] = np.clip(np.rint(shrunk * INPUT_SCALE), -INPUT_BOUND, INPUT_BOUND).astype(np.int16)
    return units[groups]
