"""From released counts to input values: shrunk, bounded, silent where nothing is known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedcredit import preflight
from fedcredit.models.mlp_inputs import INPUT_BOUND, bin_of_cell, design, input_values
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.preflight import Preflight
from tests import tiny

DICTIONARY = tiny.dictionary()
ROWS = tiny.rows("bank", 100, 1)


def banks_only(noise_stddev: float = 0.0, seed: int = 0) -> Preflight:
    sums = preflight.count(DICTIONARY, "bank", ROWS)[0]
    exact = preflight.read_release(DICTIONARY, sums, 1, dict.fromkeys(range(4), 0))
    generator = np.random.default_rng(seed)
    noisy = tuple(counts + noise_stddev * generator.standard_normal(counts.shape) for counts in exact.counts)
    return Preflight(noisy, (noise_stddev,) * 4)


def test_cell_values_are_shrunk_weights_of_evidence():
    counts = [np.zeros((feature.n_cells, 2)) for feature in DICTIONARY.features]
    counts[1][2:4] = [[300.0, 100.0], [100.0, 300.0]]  # two heavy months, everything else empty
    status = input_values(DICTIONARY, Preflight(tuple(counts), (0.0,) * 4), 20)[1]
    evidence = np.log(3) / (1 + 1 / 300 + 1 / 100)
    np.testing.assert_array_equal(status[2:4], np.rint([-1024 * evidence, 1024 * evidence]))


def test_a_cell_that_nobody_has_says_nothing_whatever_the_base_rate():
    counts = [np.zeros((feature.n_cells, 2)) for feature in DICTIONARY.features]
    counts[1][2:4] = [[900.0, 50.0], [800.0, 150.0]]
    for noise_stddev in (0.0, 5.0):
        status = input_values(DICTIONARY, Preflight(tuple(counts), (noise_stddev,) * 4), 20)[1]
        assert status[-1] == 0
        assert status[2] < -100 < 100 < status[3]


@given(st.integers(0, 1000), st.floats(0.0, 1e4))
def test_cell_values_stay_within_the_public_bound_under_any_noise(seed, noise_stddev):
    values = input_values(DICTIONARY, banks_only(noise_stddev, seed), 20)
    assert [part.shape for part in values] == [(feature.n_cells,) for feature in DICTIONARY.features]
    assert max(np.abs(part.astype(int)).max() for part in values) <= INPUT_BOUND


def test_more_noise_shrinks_the_values():
    counts = tuple(np.tile([90.0, 30.0], (feature.n_cells, 1)) for feature in DICTIONARY.features)
    for part in counts:
        part[0] = [30.0, 90.0]
    calm, loud = (np.abs(input_values(DICTIONARY, Preflight(counts, (sd,) * 4), 20)[1]) for sd in (0.0, 15.0))
    assert 0 < loud[0] < 0.8 * calm[0]


def test_a_feature_that_nobody_owns_says_nothing():
    values = input_values(DICTIONARY, banks_only(), 20)
    assert not values[3].any()
    assert values[1].any()


def test_thin_neighbours_share_a_bin_and_heavy_cells_stand_apart():
    bill = DICTIONARY.features[2]
    totals = np.zeros(bill.n_cells)
    totals[[0, 1, 2, 3, 5]] = [3.0, 4.0, 50.0, 2.0, 1.0]
    groups = bin_of_cell(bill, totals, 0.0, max_bins=6)  # a bin holds at least 10 of 60
    assert groups[0] == groups[1] != groups[2] != groups[3] == groups[5]
    assert groups[-1] == groups[-2] + 1 == groups.max()
    # Under noise of 100 on every count, no cell is heavy any more.
    assert set(bin_of_cell(bill, totals, 100.0, max_bins=6)[:-1]) == {0}


def test_a_record_has_zeros_where_its_institution_owns_nothing():
    values = tuple(np.full(feature.n_cells, 512, dtype=np.int16) for feature in DICTIONARY.features)
    inputs = design(MlpSpec(), DICTIONARY, "hospital", values, np.zeros((2, 2), dtype=np.uint16))
    np.testing.assert_array_equal(inputs, [[512, 0, 0, 512, 0, 1024]] * 2)
