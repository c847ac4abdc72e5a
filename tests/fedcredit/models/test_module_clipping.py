"""The lattice: a record's vector is within its radius on integers, whatever its gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.models.module_clipping import clip_to_lattice, hold_norm

finite = st.floats(-1e6, 1e6)
anything = st.floats(allow_nan=True, allow_infinity=True)


def squared_norm(vector: np.ndarray) -> int:
    return sum(int(value) ** 2 for value in vector)


@given(arrays(np.float64, 4, elements=anything), st.integers(1, 2**20), st.integers(0, 2**27))
def test_no_record_exceeds_the_radius_whatever_its_gradient(gradient, scale, radius):
    vector = clip_to_lattice(gradient, scale, radius)
    assert (vector.dtype, vector.shape) == (np.int64, (4,))
    assert squared_norm(vector) <= radius**2


@given(arrays(np.float64, 4, elements=finite))
def test_clipping_keeps_direction_and_truncates_towards_zero(gradient):
    scale, radius = 2**16, 2**15
    wanted = gradient * scale
    wanted *= min(1, radius / max(np.linalg.norm(wanted), 1e-300))
    off = np.abs(wanted) - np.abs(clip_to_lattice(gradient, scale, radius))
    assert np.all((off > -1e-6) & (off < 1 + 1e-6))


@pytest.mark.parametrize(
    ("gradient", "integers"),
    [
        ([np.nan, 0.1], [0, 0]),
        ([np.inf, 0.1], [0, 0]),
        ([1e300, 1e300], [0, 0]),
        ([0.25, -0.25], [256, -256]),
        ([0.0, 0.0], [0, 0]),
    ],
)
def test_a_gradient_that_is_not_finite_contributes_nothing(gradient, integers):
    np.testing.assert_array_equal(clip_to_lattice(np.array(gradient), 1024, 2048), integers)


@given(arrays(np.int64, 5, elements=st.integers(-(2**63), 2**63 - 1)), st.integers(0, 2**27))
def test_a_vector_is_held_as_pythons_integers_hold_it(vector, radius):
    expected = vector if squared_norm(vector) <= radius**2 else np.zeros(5)
    np.testing.assert_array_equal(hold_norm(vector, radius), expected)


def test_a_vector_beyond_the_radius_by_one_is_zeroed():
    for vector, held in [([3, 4], [3, 4]), ([3, 5], [0, 0]), ([-5, 0], [-5, 0]), ([5, 1], [0, 0])]:
        np.testing.assert_array_equal(hold_norm(np.array(vector), 5), held)


def test_the_bound_is_reached_so_it_is_not_loose():
    assert 0.999 * 2**30 < squared_norm(clip_to_lattice(np.array([30.0, 40.0]), 2**16, 2**15)) <= 2**30
