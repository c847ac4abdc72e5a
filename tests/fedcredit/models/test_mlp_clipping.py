"""Per-record clipping onto the lattice: the norm is bounded on integers, whatever the gradient."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.models.mlp_clipping import clip_to_lattice, hold_norm

finite = st.floats(-1e6, 1e6)
anything = st.floats(allow_nan=True, allow_infinity=True)


@given(arrays(np.float64, (3, 4), elements=anything), st.integers(1, 2**20), st.integers(1, 2**26))
def test_no_record_exceeds_the_radius_whatever_its_gradient(gradients, scale, radius):
    rows = clip_to_lattice(gradients, scale, radius)
    assert rows.dtype == np.int64
    assert all(sum(int(v) ** 2 for v in row) <= radius**2 for row in rows)


@given(arrays(np.float64, (2, 4), elements=finite))
def test_clipping_keeps_direction_and_truncates_towards_zero(gradients):
    scale, radius = 2**16, 2**15
    wanted = gradients * scale
    wanted *= np.minimum(1, radius / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-300))
    off = np.abs(wanted) - np.abs(clip_to_lattice(gradients, scale, radius))
    assert np.all((off > -1e-6) & (off < 1 + 1e-6))


def test_a_gradient_that_is_not_finite_contributes_nothing_and_spoils_no_other():
    gradients = np.array([[np.nan, 0.1], [np.inf, 0.1], [1e300, 1e300], [0.25, -0.25], [0.0, 0.0]])
    np.testing.assert_array_equal(clip_to_lattice(gradients, 1024, 2048), [[0, 0], [0, 0], [0, 0], [256, -256], [0, 0]])


def test_a_row_beyond_the_radius_is_zeroed_on_integers():
    np.testing.assert_array_equal(hold_norm(np.array([[3, 4], [3, 5], [-5, 0]]), 5), [[3, 4], [0, 0], [-5, 0]])


def test_the_bound_is_reached_so_it_is_not_loose():
    gradients = np.array([[30.0, 40.0]])
    norm_squared = int((clip_to_lattice(gradients, 2**16, 2**15) ** 2).sum())
    assert 0.999 * 2**30 < norm_squared <= 2**30
