"""Unit slips that stay inside the declared range: an own column against the consortium's released preflight counts.

Monthly income where the others hand in yearly income fits the range, so no institution can see it in its own table.
Beside the released sums it stands out, and a usual factor mends it. Only the institution itself can look: under masks
nobody else has its counts. The released counts were charged already and the own ones stay here, so this costs nothing.
Regions differ without a slip; hence both conditions, a large stability index (Siddiqi, "Credit Risk Scorecards", 2006,
ch. 9) above what chance and noise explain, and a factor that takes most of it away.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.quantise import feature_values, quantise_table
from fedcredit.dictionary.grid import quantise_numbers
from fedcredit.dictionary.mapping import Mapping
from fedcredit.dictionary.schema import DataDictionary, Feature
from fedcredit.evaluation.stability import stability
from fedcredit.job.released_counts import FeatureCounts

Floats = NDArray[np.float64]

FACTORS = {
    f"{sign} {factor:g}": factor if sign == "×" else 1 / factor
    for factor in (10.0, 12.0, 30.0, 100.0, 1000.0)
    for sign in ("×", "÷")
}
"""What would put a column right: a factor, as it is said."""

_LARGE = 0.25
_LEVEL = 0.001
_MENDED = 0.25


@dataclass(frozen=True, slots=True)
class UnitSlip:
    """A suspicion.

    Attributes
    ----------
    feature
        The dictionary's name of the column.
    factor
        What would mend it, as in `FACTORS`.
    index, mended
        Stability index above its noise floor, as the column is and with the factor.
    """

    feature: str
    factor: str
    index: float
    mended: float

    @property
    def sentence(self) -> str:
        """For the institution's own console; the column is named before it."""
        return (
            f"unlike the consortium's released counts (stability index {self.index:.2f} above the noise, "
            f"{self.mended:.2f} with the values {self.factor}): unit slip? compare with the dictionary, and set scale"
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """What a job has released, and how much of it is the institution's own.

    Attributes
    ----------
    counts
        Preflight counts, noise included.
    own_share
        About which share of the institution's rows is in them; 0 if it took no part. A slip in them hides itself.
    """

    counts: tuple[FeatureCounts, ...]
    own_share: float


def unit_slips(
    dictionary: DataDictionary, kind: str, mapping: Mapping, table: pa.Table, reference: Reference
) -> tuple[UnitSlip, ...]:
    """Compare every numeric column with what a job has released.

    Parameters
    ----------
    dictionary, kind, mapping
        The contract of that job, the institution's type and its columns.
    table
        The institution's own table, with all mapped columns.

    Raises
    ------
    DictionaryError, DataError
        If the mapping does not fit, or a column is missing or of another type.
    """
    counts = {one.name: one for one in reference.counts}
    features = [one for one in dictionary.owned_features(kind) if one.range is not None and one.name in counts]
    takes_part = quantise_table(dictionary, kind, mapping, table).takes_part
    level = _LEVEL / max(len(features), 1)
    found = []
    for feature in features:
        values = feature_values(feature, mapping.features[feature.name], table)[takes_part]
        others = _others(feature, values, counts[feature.name], reference.own_share)
        found.append(_slip(feature, values, others, counts[feature.name].noise_stddev, level))
    return tuple(one for one in found if one is not None)


def _slip(feature: Feature, values: Floats, others: Floats, noise_stddev: float, level: float) -> UnitSlip | None:
    # Goods and bads are added up.
    noise = float(np.sqrt(2.0) * noise_stddev)
    as_it_is = stability(_cells(feature, values), others, 0.0, noise)
    index, limit, excess = as_it_is.index, as_it_is.limit(level), as_it_is.excess
    if index is None or limit is None or excess is None or index <= limit or excess <= _LARGE:
        return None
    tried = {name: stability(_cells(feature, values * factor), others, 0.0, noise) for name, factor in FACTORS.items()}
    told = {name: one for name, one in tried.items() if one.index is not None}
    if not told:
        return None
    best = min(told, key=lambda name: told[name].index or 0.0)
    mended = told[best].excess or 0.0
    return UnitSlip(feature.name, best, excess, mended) if mended <= _MENDED * excess else None


def _others(feature: Feature, values: Floats, released: FeatureCounts, own_share: float) -> Floats:
    """The other institutions' records per value cell, about; shape (n_cells - 1,)."""
    totals: Floats = released.counts.sum(axis=1)
    return np.asarray(totals[:-1] - own_share * _cells(feature, values))


def _cells(feature: Feature, values: Floats) -> Floats:
    """Records per value cell; a missing value has no unit. Shape (n_cells - 1,)."""
    low, high = feature.range or (0.0, 0.0)
    cells = quantise_numbers(values, feature.cuts, low, high)
    return np.bincount(cells, minlength=feature.n_cells)[:-1].astype(np.float64)
