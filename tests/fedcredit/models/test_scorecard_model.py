from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.rows import Rows
from fedcredit.errors import WireError
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_model import ScorecardModel, contribute, decode, margins
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, ScorecardSpec

SPEC = ScorecardSpec(max_bins=4)
KINDS = st.sampled_from(["bank", "hospital"])


def random_model(dictionary, seed: int) -> ScorecardModel:
    rng = np.random.default_rng(seed)
    plan = layout(SPEC.max_bins, dictionary)
    weights = np.zeros(plan.length, dtype=np.int64)
    weights[plan.first_intercept :] = rng.integers(-MARGIN_LIMIT, MARGIN_LIMIT + 1, len(plan.owned))
    bins = []
    for feature, slots in zip(dictionary.features, plan.slots, strict=True):
        of_cell = rng.integers(0, slots.stop - slots.start, feature.n_cells)
        used = slots.start + np.unique(of_cell)
        weights[used] = rng.integers(-4000, 4001, len(used))
        bins.append(of_cell)
    return ScorecardModel(tuple(bins), weights)


def slow_contribution(dictionary, kind, model, rows) -> list[list[int]]:
    """The same sums, record by record with Python's integers."""
    plan, table = layout(SPEC.max_bins, dictionary), residual_table(SPEC.residual_scale)
    intercept = plan.first_intercept + dictionary.kinds.index(kind)
    sums = [[0] * plan.length for _ in range(rows.n_institutions)]
    for i in range(rows.n_institutions):
        for r in range(int(rows.offsets[i]), int(rows.offsets[i + 1])):
            places = [
                plan.slots[f].start + int(model.bin_of_cell[f][rows.cells[r, j]])
                for j, f in enumerate(dictionary.owned(kind))
            ] + [intercept]
            margin = sum(int(model.weights[place]) for place in places)
            clipped = max(-MARGIN_LIMIT, min(MARGIN_LIMIT, margin))
            for place in places:
                sums[i][place] += int(table[int(rows.bad[r]), clipped + MARGIN_LIMIT])
    return sums


@given(kind=KINDS, seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_sums_equal_a_record_by_record_twin(dictionary, make_rows, kind, seed, sizes):
    model, rows = random_model(dictionary, seed), make_rows(kind, sizes, seed)
    found = contribute(SPEC, dictionary, kind, model, rows)
    assert found.dtype == np.int64
    assert found.tolist() == slow_contribution(dictionary, kind, model, rows)


@given(kind=KINDS, seed=st.integers(0, 10**6))
def test_one_record_moves_the_vector_by_its_declared_sensitivity(dictionary, make_rows, kind, seed):
    model, rows = random_model(dictionary, seed), make_rows(kind, [9], seed)
    without = Rows(rows.cells[1:], rows.bad[1:], np.array([0, 8], dtype=np.int64))
    change = contribute(SPEC, dictionary, kind, model, rows) - contribute(SPEC, dictionary, kind, model, without)
    score = margins(SPEC, dictionary, kind, model, rows.cells[:1])[0]
    q = residual_table(1024)[rows.bad[0], np.clip(score, -MARGIN_LIMIT, MARGIN_LIMIT) + MARGIN_LIMIT]
    n_coordinates = len(dictionary.owned(kind)) + 1
    assert int((change**2).sum()) == int(q) ** 2 * n_coordinates
    assert int((change**2).sum()) <= 1024**2 * n_coordinates


def test_the_bound_is_reached(dictionary):
    """A sure model that is wrong moves one record's vector by the whole sensitivity."""
    plan = layout(SPEC.max_bins, dictionary)
    weights = np.zeros(plan.length, dtype=np.int64)
    weights[plan.first_intercept :] = MARGIN_LIMIT
    model = ScorecardModel(tuple(np.zeros(f.n_cells, dtype=np.int64) for f in dictionary.features), weights)
    rows = Rows(np.zeros((1, 3), np.uint16), np.zeros(1, np.uint8), np.array([0, 1], np.int64))
    assert int((contribute(SPEC, dictionary, "bank", model, rows) ** 2).sum()) == 1024**2 * 4


def test_other_types_coordinates_stay_zero(dictionary, make_rows):
    found = contribute(SPEC, dictionary, "bank", random_model(dictionary, 3), make_rows("bank", [50]))[0]
    owned = layout(SPEC.max_bins, dictionary).owned_coordinates(0)
    assert not found[~owned].any()
    assert found[owned].any()


def test_an_institution_without_rows_contributes_zeros(dictionary):
    rows = Rows(np.zeros((0, 3), np.uint16), np.zeros(0, np.uint8), np.zeros(2, np.int64))
    found = contribute(SPEC, dictionary, "hospital", random_model(dictionary, 1), rows)
    assert found.shape == (1, layout(SPEC.max_bins, dictionary).length)
    assert not found.any()


@given(seed=st.integers(0, 10**6))
def test_codec_round_trip(dictionary, seed):
    model = random_model(dictionary, seed)
    again = decode(SPEC, dictionary, model.encode())
    np.testing.assert_array_equal(again.weights, model.weights)
    assert [b.tolist() for b in again.bin_of_cell] == [b.tolist() for b in model.bin_of_cell]
    assert again.encode() == model.encode()


@given(seed=st.integers(0, 1000), cut=st.integers(1, 40), longer=st.booleans())
def test_other_lengths_are_refused(dictionary, seed, cut, longer):
    data = random_model(dictionary, seed).encode()
    with pytest.raises(WireError, match="bytes"):
        decode(SPEC, dictionary, data + bytes(cut) if longer else data[:-cut])


def test_a_bin_out_of_range_is_refused(dictionary):
    data = bytearray(random_model(dictionary, 1).encode())
    data[0] = 4
    with pytest.raises(WireError, match="bin 4 of income"):
        decode(SPEC, dictionary, bytes(data))


@pytest.mark.parametrize("weight", [MARGIN_LIMIT + 1, -MARGIN_LIMIT - 1, -(2**31)])
def test_a_weight_out_of_bounds_is_refused(dictionary, weight):
    model = random_model(dictionary, 1)
    weights = model.weights.copy()
    weights[-1] = weight
    with pytest.raises(WireError, match="within"):
        decode(SPEC, dictionary, replace(model, weights=weights).encode())


def test_a_weight_on_an_unused_bin_is_refused(dictionary):
    model = random_model(dictionary, 1)
    bins = (np.zeros_like(model.bin_of_cell[0]), *model.bin_of_cell[1:])
    weights = model.weights.copy()
    weights[3] = 1
    with pytest.raises(WireError, match="0 where no bin is"):
        decode(SPEC, dictionary, ScorecardModel(bins, weights).encode())
