import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from fedcredit.models.monotone import pool_adjacent_violators

PAIRS = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 100)), min_size=1, max_size=20)


@given(pairs=PAIRS, increasing=st.booleans())
def test_equals_scikit_learn(pairs, increasing):
    values, masses = zip(*pairs, strict=True)
    found = pool_adjacent_violators(values, masses, increasing=increasing)
    expected = (
        IsotonicRegression(increasing=increasing).fit(range(len(values)), values, masses).predict(range(len(values)))
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(pairs=PAIRS)
def test_is_monotone_and_keeps_the_mean(pairs):
    values, masses = zip(*pairs, strict=True)
    found = pool_adjacent_violators(values, masses)
    assert np.all(np.diff(found) >= 0)
    assert np.average(found, weights=masses) == pytest.approx(np.average(values, weights=masses), abs=1e-9)


def test_a_monotone_sequence_is_left_alone():
    assert pool_adjacent_violators([1.0, 1.0, 3.0], [1.0, 2.0, 3.0]) == [1.0, 1.0, 3.0]
