import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import DataError
from fedcredit.evaluation.histogram import accumulate


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    n_groups=st.integers(1, 3),
    n_bins=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_a_plain_loop(sizes: list[int], n_groups: int, n_bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    n = int(offsets[-1])
    bins, group = rng.integers(0, n_bins, n), rng.integers(0, n_groups, n)
    bad = rng.integers(0, 2, n).astype(np.uint8)

    expected = np.zeros((len(sizes), n_groups, 2, n_bins), dtype=np.int64)
    for institution in range(len(sizes)):
        for row in range(offsets[institution], offsets[institution + 1]):
            expected[institution, group[row], bad[row], bins[row]] += 1

    got = accumulate(bins, group, bad, offsets, n_groups, n_bins)
    assert got.dtype == np.int64
    assert np.array_equal(got, expected)


def test_values_out_of_range_stay_with_their_institution() -> None:
    bins, group = np.array([-3, 99]), np.array([7, -1])
    counts = accumulate(bins, group, np.array([0, 5], dtype=np.uint8), np.array([0, 1, 2]), 2, 4)
    assert counts.sum(axis=(1, 2, 3)).tolist() == [1, 1]
    assert counts[0, 1, 0, 0] == 1
    assert counts[1, 0, 1, 3] == 1


def test_an_institution_without_records_contributes_zeros() -> None:
    empty = np.zeros(0, dtype=np.int64)
    counts = accumulate(empty, empty, empty.astype(np.uint8), np.array([0, 0]), 1, 3)
    assert counts.shape == (1, 1, 2, 3)
    assert not counts.any()


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="3 records"):
        accumulate(np.zeros(3, np.int64), np.zeros(2, np.int64), np.zeros(3, np.uint8), np.array([0, 3]), 1, 4)
