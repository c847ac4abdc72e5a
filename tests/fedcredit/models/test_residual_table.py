import math
from decimal import getcontext, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.models.residual_table import residual_table, residuals
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE

SCALES = st.sampled_from([64, 777, 1024, 1025, 4096])


@given(scale=SCALES, margin=st.integers(-MARGIN_LIMIT, MARGIN_LIMIT), bad=st.integers(0, 1))
def test_entries_are_the_rounded_residual(scale, margin, bad):
    exact = scale * (1 / (1 + math.exp(-margin / WEIGHT_SCALE)) - bad)
    entry = residual_table(scale)[bad, margin + MARGIN_LIMIT]
    assert abs(entry - exact) <= 0.5 + 1e-9
    assert abs(entry) <= scale


@given(scale=SCALES)
def test_rows_rise_and_mirror_each_other(scale):
    good, bad = residual_table(scale)
    assert np.all(np.diff(good) >= 0)
    assert np.all(np.diff(bad) >= 0)
    np.testing.assert_array_equal(bad, -good[::-1])


def test_a_tie_goes_to_the_even_number():
    assert residual_table(1025)[0, MARGIN_LIMIT] == 512
    assert residual_table(1027)[0, MARGIN_LIMIT] == 514


def test_margins_beyond_the_table_take_its_ends():
    table = residual_table(1024)
    far = np.array([-(10**6), 10**6], dtype=np.int64)
    found = residuals(table, far, np.array([1, 0], dtype=np.uint8))
    np.testing.assert_array_equal(found, [table[1, 0], table[0, -1]])


def test_a_caller_s_decimal_settings_move_nothing():
    expected = residual_table(777).copy()
    residual_table.cache_clear()
    with localcontext():
        getcontext().prec = 5
        np.testing.assert_array_equal(residual_table(777), expected)


def test_the_table_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        residual_table(1024)[0, 0] = 1
