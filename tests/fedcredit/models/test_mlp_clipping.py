"""Clipped factors on the lattice: against Python's integers, against Opacus, under hostile weights, and mutants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.models import mlp_clipping
from fedcredit.models.mlp_clipping import clipped_factors, factor_sizes, hold_norm
from fedcredit.models.mlp_gradients import backward, forward
from tests import perceptrons
from tests.perceptrons import INPUT, VALUE, WEIGHT, Case, random_case

SCALE = 2**20
seeds = st.integers(0, 2**32 - 1)
stacks = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def clip(case: Case, radius: int, scale: int = SCALE) -> mlp_clipping.ClippedFactors:
    return clipped_factors(case.layers, case.inputs, case.bad, scale, np.full(len(case.bad), radius))


def part_of(case: Case, records: list[int]) -> Case:
    return Case(case.layers, np.ascontiguousarray(case.inputs[:, records]), case.bad[records])


def assert_integers(case: Case, radius: int) -> None:
    """The sum is the slow twin's, to the last unit."""
    assert clip(case, radius).sum(slice(None)).tolist() == perceptrons.slow_sum(case, SCALE, radius)


def assert_near_float_clipping(case: Case, radius: int) -> None:
    """Every record's signals are within one step of the real clipped ones, and never beyond them."""
    hidden, logits = forward(case.layers, case.inputs)
    signals = backward(case.layers, hidden, logits, case.bad)
    clipped = clip(case, radius)
    sizes = factor_sizes(clipped.values, clipped.n_first)
    real = [part.integers * part.steps * (SCALE / INPUT) for part in signals]
    norms = np.sqrt(sum((part**2).sum(axis=0) * size for part, size in zip(real, sizes, strict=True)))
    for part, found in zip(real, clipped.signals, strict=True):
        off = np.abs(part) * np.minimum(1, radius / norms) - np.abs(found)
        assert np.all((off > -1e-6) & (off < 1 + 1e-6))
        assert np.all(part * found >= 0)


# --- integers ------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seeds, stacks, st.integers(1, 5), st.floats(0.01, 6), st.integers(2**14, 2**26))
def test_the_sum_is_that_of_pythons_integers(seed, hidden, n, size, radius):
    assert_integers(random_case(seed, n, hidden, size=size), radius)


@settings(max_examples=40)
@given(seeds, stacks, st.integers(2, 60), st.floats(0.01, 6))
def test_a_records_integers_depend_on_no_other_record(seed, hidden, n, size):
    case = random_case(seed, n, hidden, size=size)
    together, rng = clip(case, 2**21), np.random.default_rng(seed)
    for records in ([int(rng.integers(n))], rng.permutation(n).tolist(), sorted(rng.choice(n, n // 2, replace=False))):
        apart = clip(part_of(case, records), 2**21)
        for some, all_of_them in zip(
            (*apart.values, *apart.signals), (*together.values, *together.signals), strict=True
        ):
            np.testing.assert_array_equal(some, all_of_them[:, records])
    alone = sum(clip(part_of(case, [i]), 2**21).sum(slice(None)) for i in range(n))
    np.testing.assert_array_equal(together.sum(slice(None)), alone)


def test_a_wide_stack_and_a_large_batch_are_exact_too():
    case = random_case(1, 700, (256, 256, 256), n_inputs=30, size=3.0)
    clipped = clip(case, 2**26)
    exact = [d.astype(np.int64) @ a.astype(np.int64).T for d, a in zip(clipped.signals, clipped.values, strict=True)]
    biases = [d.astype(np.int64).sum(axis=1) * INPUT for d in clipped.signals]
    parts = [
        exact[0].ravel(),
        *(x for pair in zip((e.ravel() for e in exact[1:]), biases[1:], strict=True) for x in pair),
    ]
    np.testing.assert_array_equal(clipped.sum(slice(None)), np.concatenate(parts))
    one = clip(part_of(case, [411]), 2**26)
    for some, all_of_them in zip(one.signals, clipped.signals, strict=True):
        np.testing.assert_array_equal(some[:, 0], all_of_them[:, 411])


# --- the bound -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, stacks, st.integers(2**10, 100 * 2**20), st.sampled_from([2**16, 2**20]))
def test_no_record_exceeds_the_radius_whatever_the_weights_and_inputs(seed, hidden, radius, scale):
    rng, case = np.random.default_rng(seed), random_case(seed, 8, hidden)
    extremes = np.array([-8 * WEIGHT, -1, 0, 0, 1, 8 * WEIGHT], dtype=np.float64)
    for layer in case.layers:
        layer.weights[...] = rng.choice(extremes, layer.weights.shape)
        if layer.biases is not None:
            layer.biases[...] = rng.choice(extremes, layer.biases.shape)
    case.inputs[:-1] = rng.choice([-3 * INPUT, 0, 3 * INPUT], case.inputs[:-1].shape)
    clipped = clip(case, radius, scale)
    for record in range(8):
        norm = sum(v * v for v in perceptrons.dense(clipped.values, clipped.signals, record))
        assert norm <= radius**2
    if radius > 64 * INPUT:
        assert any(part.any() for part in clipped.signals)


def test_the_bound_is_reached_so_it_is_not_loose():
    case = random_case(5, 40, (8, 4), size=2.0)
    clipped = clip(case, 2**20)
    norms = [math.hypot(*perceptrons.dense(clipped.values, clipped.signals, i)) for i in range(40)]
    assert np.median(norms) > 0.99 * 2**20


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1e300, 2.0**60, 2.0**31, 600.0])
def test_a_record_beyond_the_radius_is_zeroed_and_spoils_no_other(wrong):
    first, second = np.array([[3.0, 300.0, 4.0]]), np.array([[0.0, wrong, 0.0], [1.0, 1.0, -2.0]])
    sizes = [np.full(3, 2.0**20), np.full(3, 2.0**20 + 7)]
    held = hold_norm([first, second], sizes, 2**19)
    np.testing.assert_array_equal(held[0], [[3, 0, 4]])
    np.testing.assert_array_equal(held[1], [[0, 0, 0], [1, 0, -2]])


def test_layers_that_fit_one_by_one_are_added_before_they_are_believed():
    sizes = [np.full(2, 100.0), np.full(2, 100.0)]
    held = hold_norm([np.array([[30.0, 40.0]]), np.array([[40.0, 31.0]])], sizes, 500)
    np.testing.assert_array_equal(np.concatenate(held), [[30, 0], [40, 0]])


# --- against real numbers ------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seeds, stacks, st.floats(0.1, 3), st.integers(2**14, 2**26))
def test_clipping_keeps_direction_and_truncates_towards_zero(seed, hidden, size, radius):
    assert_near_float_clipping(random_case(seed, 12, hidden, size=size), radius)


@pytest.mark.neural
@settings(max_examples=25)
@given(seeds, stacks, st.integers(1, 30), st.floats(0.1, 1.5), st.floats(0.05, 5))
def test_clipped_sums_are_those_of_opacus(seed, hidden, n, size, clip_l2_norm):
    assert_like_opacus(random_case(seed, n, hidden, size=size), clip_l2_norm)


def assert_like_opacus(case: Case, clip_l2_norm: float) -> None:
    """Our factors before the lattice, clipped in floats, sum to what Opacus' gradients do; and after it nearly so."""
    theirs = clip_rows(opacus_gradients(case), clip_l2_norm)
    hidden, logits = forward(case.layers, case.inputs)
    signals = backward(case.layers, hidden, logits, case.bad)
    read = [case.inputs / INPUT, *(part / VALUE for part in hidden)]
    parts = []
    for index, (a, d) in enumerate(zip(read, (part.integers * part.steps for part in signals), strict=True)):
        parts.append(np.einsum("on,in->noi", d, a).reshape(len(case.bad), -1))
        parts += [d.T] if index else []
    ours = clip_rows(np.concatenate(parts, axis=1), clip_l2_norm)
    size = np.linalg.norm(theirs, axis=1).sum()
    assert np.linalg.norm(ours.sum(axis=0) - theirs.sum(axis=0)) <= 1e-6 * size
    # On the lattice a signal is off by up to 2^-10 and what a layer reads by 2^-11, which moves the norm as much again.
    clipped = clip(case, int(clip_l2_norm * SCALE))
    off = clipped.sum(slice(None)) / SCALE - theirs.sum(axis=0)
    sizes = np.sqrt(sum(factor_sizes(clipped.values, clipped.n_first))) / INPUT
    units = sum(len(layer.weights) for layer in case.layers)
    bound = math.sqrt(units) * (2.0**-10 * sizes.sum() + 2 * 2.0**-11 * size)
    assert np.linalg.norm(off) <= bound + 1e-6 * size


def clip_rows(gradients: np.ndarray, clip_l2_norm: float) -> np.ndarray:
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients * np.minimum(1, clip_l2_norm / np.maximum(norms, 1e-300))


def opacus_gradients(case: Case) -> np.ndarray:
    import torch
    from torch import nn

    from tests.opacus_oracle import per_record_gradients

    modules: list[nn.Module] = []
    for layer in case.layers:
        outputs, inputs = layer.weights.shape
        linear = nn.Linear(inputs, outputs, bias=layer.biases is not None, dtype=torch.float64)
        linear.weight.data = torch.tensor(layer.weights / WEIGHT)
        if layer.biases is not None:
            linear.bias.data = torch.tensor(layer.biases / WEIGHT)
        modules += [linear, nn.Tanh()]
    return per_record_gradients(nn.Sequential(*modules[:-1]), case.inputs.T / INPUT, case.bad)


# --- mutants -------------------------------------------------------------------------------------------------------

ORIGINAL = mlp_clipping.truncate
MUTANTS = {
    "halved scale": lambda signals, sizes, scale, radius: ORIGINAL(signals, sizes, scale // 2, radius),
    "doubled scale": lambda signals, sizes, scale, radius: ORIGINAL(signals, sizes, scale * 2, radius),
    "no clipping": lambda signals, sizes, scale, _radius: ORIGINAL(signals, sizes, scale, 2**60),
    "clipped to half": lambda signals, sizes, scale, radius: ORIGINAL(signals, sizes, scale, radius // 2),
    "norm without the bias": lambda signals, sizes, scale, radius: ORIGINAL(
        signals, [sizes[0], *(size - INPUT**2 for size in sizes[1:])], scale, radius
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("check", [assert_integers, assert_near_float_clipping])
def test_a_mutant_is_caught(monkeypatch, mutant, check):
    case = random_case(3, 20, (5, 3), size=0.7)
    check(case, 2**19)
    monkeypatch.setattr(mlp_clipping, "truncate", MUTANTS[mutant])
    with pytest.raises(AssertionError):
        check(case, 2**19)


def test_without_clipping_the_bound_still_holds(monkeypatch):
    monkeypatch.setattr(mlp_clipping, "truncate", MUTANTS["no clipping"])
    clipped = clip(random_case(3, 20, (5, 3), size=2.0), 2**19)
    norms = [sum(v * v for v in perceptrons.dense(clipped.values, clipped.signals, i)) for i in range(20)]
    assert max(norms) <= 2**38
    assert 0 in norms
