"""A unit slip inside the declared range is found beside the released counts; another region is not taken for one."""

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.custodian.unit_slips import Reference, unit_slips
from fedcredit.dictionary.grid import quantise_numbers
from fedcredit.dictionary.mapping import ColumnMapping, identity_mapping
from fedcredit.job.released_counts import FeatureCounts
from tests import tiny

FEATURE = next(one for one in tiny.dictionary().features if one.name == "bill")
MAPPING = identity_mapping(tiny.dictionary(), "bank")


def bills(n: int, seed: int, middle: float = 8.0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).lognormal(middle, 0.8, n), 2)


def released(noise: float = 0.0, n: int = 5000) -> tuple[FeatureCounts, ...]:
    cells = quantise_numbers(bills(n, 1), FEATURE.cuts, *FEATURE.range)
    counts = np.bincount(cells, minlength=FEATURE.n_cells)[:, None] * np.array([0.8, 0.2])
    return (FeatureCounts("bill", counts + np.random.default_rng(2).normal(0, noise, counts.shape), noise),)


def found(values: np.ndarray, noise: float = 0.0, mapping=MAPPING) -> list[tuple[str, str]]:
    return of(values, Reference(released(noise), 0.0), mapping)


def of(values: np.ndarray, reference: Reference, mapping=MAPPING) -> list[tuple[str, str]]:
    n = len(values)
    others = {"age": np.full(n, 40), "status": np.zeros(n), "id": np.arange(n)}
    table = pa.table({"bill": values, **others, "bad": (np.arange(n) % 5 == 0).astype(int)})
    return [(one.feature, one.factor) for one in unit_slips(tiny.dictionary(), "bank", mapping, table, reference)]


@pytest.mark.parametrize("noise", [0.0, 30.0])
@pytest.mark.parametrize(("factor", "said"), [(1 / 12, "× 12"), (10.0, "÷ 10"), (1 / 100, "× 100")])
def test_a_slip_is_named_with_what_would_mend_it(factor, said, noise):
    assert found(bills(800, 3) * factor, noise) == [("bill", said)]


@pytest.mark.parametrize("noise", [0.0, 30.0])
def test_customers_like_the_others_and_poorer_ones_have_no_slip(noise):
    assert found(bills(800, 3), noise) == []
    assert found(bills(800, 3, middle=7.7), noise) == []


def test_another_population_that_no_factor_explains_is_no_slip():
    assert found(np.full(800, 3000.0)) == []


def test_noise_above_the_counts_hides_everything():
    assert found(bills(800, 3) / 12, noise=5000.0) == []
    assert found(bills(3, 3) / 12) == []


def test_the_scale_of_the_mapping_puts_it_right():
    features = {**MAPPING.features, "bill": ColumnMapping(column="bill", scale=12.0)}
    assert found(bills(800, 3) / 12, mapping=MAPPING.model_copy(update={"features": features})) == []


def test_a_slip_does_not_hide_behind_its_own_share_of_the_release():
    values = bills(5000, 3) / 12
    own = np.bincount(quantise_numbers(values, FEATURE.cuts, *FEATURE.range), minlength=FEATURE.n_cells)
    (others,) = released()
    both = FeatureCounts("bill", others.counts + np.round(0.8 * own)[:, None] * np.array([0.8, 0.2]), 0.0)
    assert of(values, Reference((both,), 0.8)) == [("bill", "× 12")]


def test_missing_values_have_no_unit():
    values = bills(800, 3)
    values[::2] = np.nan
    assert found(values) == []
