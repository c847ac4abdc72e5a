"""Sums without rounding and a tanh of our own: the same bits wherever a record stands."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.errors import ConfigError
from fedcredit.models import mlp_exact, mlp_family
from fedcredit.models.descent import WEIGHT_BITS
from fedcredit.models.mlp_exact import MOST_UNITS, VALUE_BITS, exact_product, squared_norms, tanh
from fedcredit.models.mlp_spec import MlpSpec
from tests import tiny
from tests.perceptrons import slow_tanh

values = st.integers(-(2**VALUE_BITS), 2**VALUE_BITS)


def test_the_largest_sum_is_still_exact():
    weights = np.full((1, MOST_UNITS), float(2**WEIGHT_BITS))
    read = np.full((MOST_UNITS, 1), float(2**VALUE_BITS))
    assert int(exact_product(weights, read)[0, 0]) == 2**53
    read[0] -= 1
    assert int(exact_product(weights, read)[0, 0]) == 2**53 - 2**WEIGHT_BITS
    assert int(squared_norms(read)[0]) == (MOST_UNITS - 1) * 2**44 + (2**VALUE_BITS - 1) ** 2


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, MOST_UNITS))
def test_a_product_is_the_integers_product_in_any_batch(seed, n, k):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(2**WEIGHT_BITS), 2**WEIGHT_BITS, (5, k), endpoint=True)
    read = rng.integers(-(2**VALUE_BITS), 2**VALUE_BITS, (k, n), endpoint=True)
    together = exact_product(weights.astype(np.float64), read.astype(np.float64))
    np.testing.assert_array_equal(together.astype(np.int64), weights @ read)  # 2^53 fits int64
    order = rng.permutation(n)
    shuffled = exact_product(weights.astype(np.float64), read[:, order].astype(np.float64))
    np.testing.assert_array_equal(shuffled, together[:, order])


@given(st.floats(allow_nan=False))
def test_tanh_is_close_and_odd(z):
    found = float(tanh(np.array([z]))[0])
    bound = 2.0**-30 if abs(z) <= 10 else 2.0**-27
    assert abs(mpmath.tanh(z) - found) <= bound
    assert -1 < found < 1
    assert float(tanh(np.array([-z]))[0]) == -found


@given(arrays(np.float64, st.integers(1, 70), elements=st.floats(-12, 12)), st.integers(0, 2**32))
def test_tanh_has_the_same_bits_in_any_array(some, seed):
    expected = [slow_tanh(float(z)) for z in some]
    assert tanh(some).tolist() == expected
    order = np.random.default_rng(seed).permutation(len(some))
    assert tanh(some[order]).tolist() == [expected[i] for i in order]
    assert tanh(np.repeat(some, 2)[::2]).tolist() == expected  # not contiguous
    assert [tanh(some[i : i + 1])[0] for i in range(len(some))] == expected


def test_a_dictionary_of_more_features_than_are_summed_exactly_is_refused(monkeypatch):
    monkeypatch.setattr(mlp_family, "n_inputs", lambda *_: mlp_exact.MOST_INPUTS + 1)
    with pytest.raises(ConfigError, match="features at most"):
        mlp_family.FAMILY.terms(MlpSpec(), tiny.dictionary())
