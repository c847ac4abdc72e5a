"""Compiled sums against NumPy's: the same integers for any stack, batch, radii and encoders, down to single bits."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.models import mlp_compiled
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import family_of
from fedcredit.models.mlp_clipping import clipped_sums as sums_of_numpy
from fedcredit.models.mlp_clipping import factor_sizes, hold_norm, truncate
from fedcredit.models.mlp_compiled import _hold_norm, _network, _truncate, clipped_sums
from fedcredit.models.mlp_exact import tanh, tanh_table
from fedcredit.models.mlp_gradients import Signals
from fedcredit.models.mlp_kernel import clipped_sums_of
from fedcredit.models.mlp_spec import MlpSpec
from tests import perceptrons, tiny
from tests.perceptrons import Case

SCALE = 2**20
seeds = st.integers(0, 2**32 - 1)
stacks = st.lists(st.integers(1, 20), min_size=1, max_size=3)
sizes = st.sampled_from([0.0, 0.03, 0.3, 3.0, 30.0])
largest_radii = st.sampled_from([0, 1, 2**14, 2**20, 2**26])


def assert_same(case: Case, largest_radius: int, seed: int) -> None:
    """Whole, split somewhere, and of nobody: byte for byte."""
    rng, n = np.random.default_rng(seed), len(case.bad)
    radii = rng.integers(0, largest_radius, n, endpoint=True)
    middle = int(rng.integers(0, n, endpoint=True))
    parts = [slice(None), slice(0, middle), slice(middle, n), slice(n, n)]
    with np.errstate(invalid="ignore", divide="ignore"):  # a record without a radius
        expected = sums_of_numpy(case.layers, case.inputs, case.bad, SCALE, radii, parts)
    sums = clipped_sums(case.layers, case.inputs, case.bad, SCALE, radii, parts)
    assert [part.dtype for part in sums] == [np.int64] * 4
    assert [part.tobytes() for part in sums] == [part.tobytes() for part in expected]


@settings(max_examples=150)
@given(seeds, st.integers(0, 150), stacks, st.integers(1, 30), sizes, largest_radii)
def test_any_stack_and_batch_has_the_bytes_of_numpy(seed, n, hidden, n_inputs, size, radius):
    assert_same(perceptrons.random_case(seed, n, hidden, n_inputs, size), radius, seed)


@settings(max_examples=100)
@given(seeds, st.integers(1, 4), st.integers(1, 60), st.integers(1, 9), stacks, sizes, largest_radii)
def test_encoders_and_missing_blocks_have_the_bytes_of_numpy(seed, blocks, n, units, hidden, size, radius):
    owned = np.random.default_rng(seed).random((n, blocks)) < 0.6
    owned[:, 0] |= ~owned.any(axis=1)
    assert_same(perceptrons.encoder_case(seed, owned.tolist(), units, hidden, size), radius, seed)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_a_large_batch_has_the_bytes_of_numpy(size):
    """Far from zero, and large enough for all vector instructions and every path of BLAS."""
    case = perceptrons.random_case(3, 5000, (64, 32), 24, size)
    (total,) = clipped_sums(case.layers, case.inputs, case.bad, SCALE, np.full(5000, 2**21), [slice(None)])
    assert np.abs(total).max() > 2**21
    assert_same(case, 2**24, 4)


def test_arguments_may_be_views_in_any_order_and_read_only():
    case = perceptrons.random_case(1, 50, (7, 3))
    radii, some = np.full(100, 2**20)[::2], slice(5, 40)
    turned = np.asfortranarray(case.inputs)
    for array in (turned, case.bad, radii):
        array.setflags(write=False)
    expected = sums_of_numpy(case.layers, case.inputs, case.bad, SCALE, radii, [some])
    sums = clipped_sums(case.layers, turned, case.bad, SCALE, radii, [some])
    np.testing.assert_array_equal(sums, expected)
    assert len(mlp_compiled._clipped_sum.signatures) == 1  # nothing was compiled again for them


# --- bits that a sum would hide --------------------------------------------------------------------------------------


def test_tanh_has_the_bits_of_numpy():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(-12, 12, 200_000), rng.standard_normal(200_000) / 64, [0.0, -0.0, 10, -10]])
    compiled = values.copy()
    mlp_compiled._tanh(compiled, np.empty(len(values)), np.empty(len(values), np.int32), tanh_table())
    assert compiled.tobytes() == tanh(values).tobytes()


def test_signals_are_shrunken_alike_to_the_last_bit():
    """With a radius of 52 bits, where truncation hides no digit."""
    rng, n = np.random.default_rng(7), 20_000
    network = _network(perceptrons.random_case(0, 1, (3, 2)).layers)
    parts = [
        Signals(rng.integers(-(2**22), 2**22, (rows, n)).astype(np.float64), 2.0 ** rng.integers(-22, -12, n))
        for rows in (3, 2, 1)
    ]
    whole = rng.integers(2**20, 2**23, (3, n)).astype(np.float64)
    radii = np.full(n, 2**52)
    signals = np.concatenate([part.integers for part in parts])
    _truncate(network, signals, np.stack([part.steps for part in parts]), whole, 2**60, radii)
    expected = truncate(parts, [*whole], 2**60, radii)
    np.testing.assert_array_equal(signals, np.concatenate(expected))


def test_norms_are_held_alike_at_the_radius_and_beyond():
    """Whole signals whose squared norm is just what a record's radius allows, and one unit more or less."""
    case = perceptrons.random_case(0, 4000, (2,), n_inputs=2)
    network, rng = _network(case.layers), np.random.default_rng(1)
    read = [case.inputs, rng.integers(-INPUT_SCALE, INPUT_SCALE, (2, 4000)).astype(np.float64)]
    sizes = factor_sizes(read, 1)
    parts = [rng.integers(-9, 9, (rows, 4000)).astype(np.float64) for rows in (2, 1)]
    squares = sum((part * part).sum(axis=0) * size for part, size in zip(parts, sizes, strict=True))
    radii = np.sqrt(squares).astype(np.int64) + rng.integers(0, 2, 4000)
    signals = np.concatenate(parts)
    _hold_norm(network, signals, np.stack(sizes), radii)
    expected = np.concatenate(hold_norm(parts, sizes, radii))
    np.testing.assert_array_equal(signals, expected)
    assert 1000 < np.count_nonzero(expected.any(axis=0)) < 3000


# --- who computes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [MlpSpec(hidden_sizes=(5, 3)), MlpSpec(hidden_sizes=(7,), encoder_units=4)])
def test_a_family_has_the_same_sums_by_either_kernel(spec):
    dictionary, rows = tiny.dictionary(), tiny.rows("hospital", 700, 1)
    numpy, compiled = family_of("mlp"), family_of("mlp", "compiled")
    rng = np.random.default_rng(0)
    size = sum(f.n_cells for f in dictionary.features)
    values = rng.integers(-3 * INPUT_SCALE, 3 * INPUT_SCALE, size).astype("<i2").tobytes()
    length = numpy.terms(spec, dictionary).vector_length
    model = values + rng.integers(-(2**20), 2**20, length).astype("<i4").tobytes()
    sums = [family.contribute(spec, dictionary, "hospital", model, rows) for family in (numpy, compiled)]
    assert sums[0].any()
    np.testing.assert_array_equal(*sums)


def test_a_family_without_compiled_code_says_so():
    with pytest.raises(ConfigError, match="model family 'module' has no compiled code; set kernel=numpy"):
        family_of("module", "compiled")


@pytest.mark.parametrize(("name", "old"), [("SHAVED", 0.5), ("TANH_CELLS", 256), ("VALUE_BITS", 21)])
def test_code_that_was_compiled_for_other_constants_is_refused(monkeypatch, name, old):
    """As numba's cache would keep it when a constant of another module changes: here it is Python that runs."""
    compiled = {place: value.py_func for place, value in vars(mlp_compiled).items() if hasattr(value, "py_func")}
    for place, function in compiled.items():
        monkeypatch.setattr(mlp_compiled, place, function)
    clipped_sums_of("compiled")
    monkeypatch.setattr(mlp_compiled, name, old)
    with pytest.raises(ConfigError, match="gives other integers than NumPy"):
        clipped_sums_of("compiled")


def test_without_numba_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("fedcredit.models.mlp_kernel.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedcredit\[fast\]', or set kernel=numpy"):
        clipped_sums_of("compiled")
    assert clipped_sums_of("numpy") is sums_of_numpy


def test_without_a_place_for_compiled_code_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    monkeypatch.delitem(sys.modules, "fedcredit.models.mlp_compiled")
    with pytest.raises(ConfigError, match="NUMBA_CACHE_DIR"):
        clipped_sums_of("compiled")
