"""A stacked cohort against the family itself, called institution by institution: the same integers on every device."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.rows import Rows, concatenate, single
from fedcredit.errors import DataError, WireError
from fedcredit.models.descent import on_grid
from fedcredit.models.family import family_of
from fedcredit.models.mlp_clipping import truncate
from fedcredit.models.mlp_cohort import _Signals, _truncate, cohort_contribute, load, step_sums
from fedcredit.models.mlp_gradients import Signals
from fedcredit.models.mlp_inputs import INPUT_BOUND
from fedcredit.models.mlp_layout import vector_length
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec
from tests import tiny

pytestmark = pytest.mark.neural

DICTIONARY = tiny.dictionary()
SPECS = (
    MlpSpec(hidden_sizes=(1,)),
    MlpSpec(hidden_sizes=(5, 3), clip_l2_norm=0.5),
    MlpSpec(hidden_sizes=(33, 8, 2), clip_l2_norm=100.0),
    MlpSpec(hidden_sizes=(7,), encoder_units=4),
)


has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch knows")
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=has_gpu)])


def cohort_of(kind: str, sizes: list[int], rows_per_person: int, seed: int) -> list[Rows]:
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        part = tiny.rows(kind, size, int(rng.integers(2**32)))
        _, persons = np.unique(rng.integers(0, max(1, size // rows_per_person), size), return_inverse=True)
        parts.append(single(part.cells, part.bad, persons.astype(np.int64) if rows_per_person > 1 else None))
    return parts


def models_of(spec: MlpSpec, m: int, size: float, seed: int) -> list[bytes]:
    """Another model for each institution: input values and weights."""
    rng = np.random.default_rng(seed)
    bound, length = INPUT_BOUND, vector_length(spec, DICTIONARY)
    tables = [
        tuple(rng.integers(-bound, bound, f.n_cells, endpoint=True).astype(np.int16) for f in DICTIONARY.features)
        for _ in range(m)
    ]
    return [MlpModel(table, on_grid(size * rng.standard_normal(length))).encode() for table in tables]


def one_by_one(spec: MlpSpec, kind: str, models: list[bytes], parts: list[Rows]) -> np.ndarray:
    family: Any = family_of("mlp")
    sums = [family.contribute(spec, DICTIONARY, kind, model, part) for model, part in zip(models, parts, strict=True)]
    return np.concatenate(sums)


@on_devices
@given(
    st.sampled_from(SPECS),
    st.sampled_from(DICTIONARY.kinds),
    st.lists(st.integers(0, 40), min_size=1, max_size=7),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 3.0]),
    st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=40)
def test_a_cohort_sums_what_its_institutions_sum(device, spec, kind, sizes, rows_per_person, size, seed):
    parts, models = cohort_of(kind, sizes, rows_per_person, seed), models_of(spec, len(sizes), size, seed)
    sums = cohort_contribute(spec, DICTIONARY, kind, models, concatenate(parts), device)
    assert sums.dtype == np.int64
    np.testing.assert_array_equal(sums, one_by_one(spec, kind, models, parts))


@on_devices
def test_institutions_larger_and_smaller_than_a_group_sum_the_same(device):
    spec, sizes = MlpSpec(hidden_sizes=(64, 32)), [0, 1500, 3, 400, 0, 399, *[120] * 20]
    parts, models = cohort_of("bank", sizes, 1, 5), models_of(spec, len(sizes), 1.0, 6)
    sums = cohort_contribute(spec, DICTIONARY, "bank", models, concatenate(parts), device)
    np.testing.assert_array_equal(sums, one_by_one(spec, "bank", models, parts))
    assert not sums[0].any()
    assert np.abs(sums[1]).max() > 2**20  # what is compared is far from zero


@on_devices
@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_a_sampled_step_sums_what_the_sampled_rows_sum(device, sizes, seed):
    spec, rng = SPECS[1], np.random.default_rng(seed)
    parts, models = cohort_of("hospital", sizes, 2, seed), models_of(spec, len(sizes), 1.0, seed)
    received = [decode(spec, DICTIONARY, model) for model in models]
    units = [rng.random(part.n_units) < 0.4 for part in parts]
    chosen = np.concatenate([some[part.persons] for some, part in zip(units, parts, strict=True)])
    records = load(spec, DICTIONARY, "hospital", received, concatenate(parts), device)
    sums = step_sums(spec, DICTIONARY, np.stack([model.units for model in received]), records, chosen)
    sampled = [part.of_units(some) for part, some in zip(parts, units, strict=True)]
    np.testing.assert_array_equal(sums, one_by_one(spec, "hospital", models, sampled))


def test_a_cohort_of_nobody_and_of_strangers():
    spec = SPECS[1]
    empty = concatenate(cohort_of("bank", [0, 0], 1, 0))
    models = models_of(spec, 2, 1.0, 0)
    assert not cohort_contribute(spec, DICTIONARY, "bank", models, empty, "cpu").any()
    with pytest.raises(DataError, match="2 institutions need as many models, got 1"):
        cohort_contribute(spec, DICTIONARY, "bank", models[:1], empty, "cpu")
    with pytest.raises(WireError, match="perceptron"):
        cohort_contribute(spec, DICTIONARY, "bank", [models[0], models[1][:-1]], empty, "cpu")


@on_devices
def test_signals_are_shrunken_alike_to_the_last_bit(device):
    """With a radius of 52 bits, where truncation hides no digit: torch's own square root fails this on a processor."""
    rng, n = np.random.default_rng(7), 20_000
    integers = rng.integers(-(2**22), 2**22, (3, n)).astype(np.float64)
    steps, sizes = 2.0 ** rng.integers(-22, -12, n), rng.integers(1, 2**20, n).astype(np.float64)
    radii = np.full(n, 2**52)
    expected = truncate([Signals(integers, steps)], [sizes], 2**60, radii)
    on_device = [torch.from_numpy(part)[None].to(device) for part in (integers, steps, sizes, radii)]
    signals = [_Signals(on_device[0], on_device[1][:, None])]
    shrunken = _truncate(signals, [on_device[2]], 2**60, on_device[3])
    np.testing.assert_array_equal(shrunken[0][0].cpu().numpy(), expected[0])
