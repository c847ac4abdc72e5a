"""Encoders per block: against Python's integers and Opacus, a missing block is no block at all, and mutants."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.models import mlp_clipping
from fedcredit.models.mlp_clipping import ClippedFactors, clipped_factors, hold_norm
from fedcredit.models.mlp_exact import MOST_UNITS
from fedcredit.models.mlp_gradients import Signals, backward, forward
from fedcredit.models.mlp_layout import Layer
from fedcredit.models.mlp_spec import MAX_HIDDEN_LAYERS
from tests import perceptrons
from tests.perceptrons import INPUT, VALUE, WEIGHT, Case, encoder_case

SCALE = 2**20
seeds = st.integers(0, 2**32 - 1)
units = st.integers(1, 5)
stacks = st.lists(st.integers(1, 7), min_size=1, max_size=3)
sizes = st.floats(0.01, 6)
radii = st.integers(2**14, 2**26)
WHOSE = [[True, True, False], [True, False, True], [True, True, True], [False, False, True]]


@st.composite
def ownerships(draw, most: int = 6) -> list[list[bool]]:
    """Per record which of some blocks are there, at least one."""
    blocks = draw(st.integers(1, 4))
    one = st.lists(st.booleans(), min_size=blocks, max_size=blocks).filter(any)
    return draw(st.lists(one, min_size=1, max_size=most))


def clip(case: Case, radius: int) -> ClippedFactors:
    return clipped_factors(case.layers, case.inputs, case.bad, SCALE, np.full(len(case.bad), radius))


def total(case: Case, radius: int) -> np.ndarray:
    return clip(case, radius).sum(slice(None))


def encoders(case: Case) -> list[Layer]:
    return [layer for layer in case.layers if layer.biases is None]


def with_layers(case: Case, layers: Sequence[Layer]) -> Case:
    return Case(tuple(layers), case.inputs, case.bad)


# --- integers ------------------------------------------------------------------------------------------------------


def assert_integers(case: Case, radius: int) -> None:
    """The sum is the slow twin's, to the last unit."""
    assert total(case, radius).tolist() == perceptrons.slow_sum(case, SCALE, radius)


@settings(max_examples=40)
@given(seeds, ownerships(), units, stacks, sizes, radii)
def test_the_sum_is_that_of_pythons_integers(seed, owned, width, hidden, size, radius):
    assert_integers(encoder_case(seed, owned, width, hidden, size), radius)


@settings(max_examples=40)
@given(seeds, ownerships(20), units, stacks, sizes)
def test_a_records_integers_depend_on_no_other_record_and_no_order(seed, owned, width, hidden, size):
    case, n = encoder_case(seed, owned, width, hidden, size), len(owned)
    together, rng = clip(case, 2**21), np.random.default_rng(seed)
    for records in ([int(rng.integers(n))], rng.permutation(n).tolist()):
        some = clip(Case(case.layers, np.ascontiguousarray(case.inputs[:, records]), case.bad[records]), 2**21)
        for one, all_of_them in zip((*some.values, *some.signals), (*together.values, *together.signals), strict=True):
            np.testing.assert_array_equal(one, all_of_them[:, records])


# --- the missing block ---------------------------------------------------------------------------------------------


def assert_missing_blocks_count_for_nothing(case: Case, owned: Sequence[bool], radius: int) -> None:
    """Other weights at and above the encoders of missing blocks change neither log-odds nor integers."""
    rng, first = np.random.default_rng(0), encoders(case)
    above = case.layers[len(first)]
    width = len(first[0].weights)
    there = np.repeat(owned, width)
    wild = perceptrons.on_grid(20 * rng.standard_normal(above.weights.shape))
    other = with_layers(
        case,
        [
            *(
                layer if mine else Layer(perceptrons.on_grid(20 * rng.standard_normal(layer.weights.shape)), None)
                for layer, mine in zip(first, owned, strict=True)
            ),
            Layer(np.where(there, above.weights, wild), above.biases),
            *case.layers[len(first) + 1 :],
        ],
    )
    np.testing.assert_array_equal(forward(case.layers, case.inputs)[1], forward(other.layers, other.inputs)[1])
    np.testing.assert_array_equal(total(case, radius), total(other, radius))


def without_missing_blocks(case: Case, owned: Sequence[bool]) -> tuple[Case, np.ndarray]:
    """The stack of the blocks that are there, and its coordinates among all."""
    first = encoders(case)
    above = case.layers[len(first)]
    width = len(first[0].weights)
    there = np.repeat(owned, width)
    rows = np.concatenate([np.full(layer.weights.shape[1], mine) for layer, mine in zip(first, owned, strict=True)])
    kept = [layer for layer, mine in zip(first, owned, strict=True) if mine]
    layers = (*kept, Layer(above.weights[:, there], above.biases), *case.layers[len(first) + 1 :])
    coordinates = [np.full(layer.weights.size, mine) for layer, mine in zip(first, owned, strict=True)]
    coordinates.append(np.tile(there, len(above.weights)))
    rest = sum(layer.weights.size + len(layer.biases) for layer in case.layers[len(first) :]) - above.weights.size
    mask = np.concatenate([*coordinates, np.ones(rest, dtype=bool)])
    return Case(layers, np.ascontiguousarray(case.inputs[rows]), case.bad), mask


@settings(max_examples=60)
@given(seeds, ownerships(1), st.integers(1, 4), units, stacks, sizes, radii)
def test_a_missing_block_is_no_block_at_all(seed, owned, n, width, hidden, size, radius):
    case = encoder_case(seed, owned * n, width, hidden, size)
    assert_missing_blocks_count_for_nothing(case, owned[0], radius)
    smaller, mine = without_missing_blocks(case, owned[0])
    np.testing.assert_array_equal(forward(case.layers, case.inputs)[1], forward(smaller.layers, smaller.inputs)[1])
    found = total(case, radius)
    np.testing.assert_array_equal(found[mine], total(smaller, radius))
    assert not found[~mine].any()


def test_missing_units_are_exactly_zero():
    case = encoder_case(1, WHOSE, 4, (3,), 3.0)
    hidden, _ = forward(case.layers, case.inputs)
    there = np.repeat(np.array(WHOSE).T, 4, axis=0)
    assert not hidden[0][~there].any()
    assert hidden[0][there].all()


# --- the bound -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, ownerships(), units, stacks, st.integers(2**10, 100 * 2**20))
def test_no_record_exceeds_the_radius_whatever_the_weights(seed, owned, width, hidden, radius):
    rng, case = np.random.default_rng(seed), encoder_case(seed, owned, width, hidden)
    extremes = np.array([-8 * WEIGHT, -1, 0, 0, 1, 8 * WEIGHT], dtype=np.float64)
    for layer in case.layers:
        layer.weights[...] = rng.choice(extremes, layer.weights.shape)
    clipped = clip(case, radius)
    for record in range(len(owned)):
        assert sum(v * v for v in gradient(clipped, record)) <= radius**2


def test_the_bound_is_reached_so_it_is_not_loose():
    case = encoder_case(5, WHOSE * 10, 6, (8, 4), 2.0)
    clipped = clip(case, 2**20)
    norms = [math.hypot(*gradient(clipped, record)) for record in range(40)]
    assert np.median(norms) > 0.99 * 2**20


def test_as_many_parts_as_there_can_be_do_not_overflow():
    radius, parts = 100 * 2**20, MOST_UNITS + MAX_HIDDEN_LAYERS + 1
    largest = float(math.isqrt(radius**2 // INPUT**2))
    everywhere = [np.array([[largest, 0.0]]) for _ in range(parts)]
    everywhere[7][0, 1] = largest
    held = hold_norm(everywhere, [np.full(2, float(INPUT**2))] * parts, np.full(2, radius))
    assert not any(part[0, 0] for part in held)
    assert held[7][0, 1] == largest


def gradient(clipped: ClippedFactors, record: int) -> list[int]:
    return perceptrons.dense(clipped.values, clipped.signals, record, clipped.n_first)


# --- against real numbers ------------------------------------------------------------------------------------------


@pytest.mark.neural
@settings(max_examples=10)
@given(seeds, ownerships(12), units, stacks, st.floats(0.1, 1.5), st.floats(0.05, 5))
def test_clipped_sums_are_those_of_opacus(seed, owned, width, hidden, size, clip_l2_norm):
    case = encoder_case(seed, owned, width, hidden, size)
    theirs = clip_rows(opacus_gradients(case), clip_l2_norm)
    activations, logits = forward(case.layers, case.inputs)
    signals = backward(case.layers, activations, logits, case.bad)
    starts = np.cumsum([0, *(layer.weights.shape[1] for layer in encoders(case))])
    read = [case.inputs[start:end] / INPUT for start, end in pairwise(starts)]
    read += [part / VALUE for part in activations]
    parts = []
    for layer, a, part in zip(case.layers, read, signals, strict=True):
        d = part.integers * part.steps
        parts.append(np.einsum("on,in->noi", d, a).reshape(len(case.bad), -1))
        parts += [] if layer.biases is None else [d.T]
    ours = clip_rows(np.concatenate(parts, axis=1), clip_l2_norm)
    length = np.linalg.norm(theirs, axis=1).sum()
    assert np.linalg.norm(ours.sum(axis=0) - theirs.sum(axis=0)) <= 1e-6 * length
    # On the lattice a signal is off by up to 2^-10 and what a layer reads by 2^-11, which moves the norm as much again.
    off = total(case, int(clip_l2_norm * SCALE)) / SCALE - theirs.sum(axis=0)
    squares = sum((a**2).sum(axis=0) + (layer.biases is not None) for layer, a in zip(case.layers, read, strict=True))
    wide = sum(len(layer.weights) for layer in case.layers)
    assert np.linalg.norm(off) <= math.sqrt(wide) * (2.0**-10 * np.sqrt(squares).sum() + 2.0**-10 * length) + 1e-6


def clip_rows(gradients: np.ndarray, clip_l2_norm: float) -> np.ndarray:
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients * np.minimum(1, clip_l2_norm / np.maximum(norms, 1e-300))


def opacus_gradients(case: Case) -> np.ndarray:
    """One linear module per block and a stack of them above."""
    import torch
    from torch import nn

    from tests.opacus_oracle import per_record_gradients

    def linear(layer: Layer) -> nn.Linear:
        outputs, inputs = layer.weights.shape
        module = nn.Linear(inputs, outputs, bias=layer.biases is not None, dtype=torch.float64)
        module.weight.data = torch.tensor(layer.weights / WEIGHT)
        if layer.biases is not None:
            module.bias.data = torch.tensor(layer.biases / WEIGHT)
        return module

    class Encoders(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = encoders(case)
            self.encoders = nn.ModuleList(linear(layer) for layer in first)
            self.above = nn.Sequential(
                *(part for layer in case.layers[len(first) :] for part in (nn.Tanh(), linear(layer)))
            )

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            blocks = inputs.split([encoder.in_features for encoder in self.encoders], dim=1)
            read = [encoder(block) for encoder, block in zip(self.encoders, blocks, strict=True)]
            return self.above(torch.cat(read, dim=1))

    return per_record_gradients(Encoders(), case.inputs.T / INPUT, case.bad)


# --- mutants -------------------------------------------------------------------------------------------------------


def check_few() -> None:
    assert_integers(encoder_case(3, [[True, False, True]] * 12, 5, (4,), 1.5), 2**19)


def check_many() -> None:
    """So many records, clipped and not, that the last digit of some shows what a missing block has moved."""
    owned = [True, False, True]
    case = encoder_case(3, [owned] * 400, 5, (4,), 1.0)
    for radius in (2**18, 2**21):
        assert_missing_blocks_count_for_nothing(case, owned, radius)


def one_grid(layers, hidden, logits, bad) -> list[Signals]:
    """Signals of all encoders rounded to the largest of them."""
    signals = ORIGINAL_BACKWARD(layers, hidden, logits, bad)
    first = len(encoders(Case(layers, logits, bad)))
    steps = np.max([part.steps for part in signals[:first]], axis=0)
    shared = [Signals(np.rint(part.integers * part.steps / steps), steps) for part in signals[:first]]
    return [*shared, *signals[first:]]


def norm_per_part(signals, some, scale, radius) -> list[np.ndarray]:
    """Each part clipped to the radius by itself."""
    return [ORIGINAL_TRUNCATE([part], [size], scale, radius)[0] for part, size in zip(signals, some, strict=True)]


ORIGINAL_BACKWARD, ORIGINAL_TRUNCATE = mlp_clipping.backward, mlp_clipping.truncate
ORIGINAL_SIZES = mlp_clipping.factor_sizes
MUTANTS = {
    "missing signals kept": ("drop_unread", lambda signals, *_: signals),
    "missing and other signals dropped": (
        "drop_unread",
        lambda signals, *_: [Signals(part.integers * 0, part.steps) for part in signals],
    ),
    "one grid for all encoders": ("backward", one_grid),
    "norm of each part alone": ("truncate", norm_per_part),
    "a bias for every encoder": ("factor_sizes", lambda values, _: ORIGINAL_SIZES(values, 0)),
    "a bias for all but one encoder": ("factor_sizes", lambda values, _: ORIGINAL_SIZES(values, 1)),
    "the first encoder twice": ("input_slices", lambda first, inputs: [inputs[: len(e.weights.T)] for e in first]),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(monkeypatch, mutant):
    check_few()
    check_many()
    monkeypatch.setattr(mlp_clipping, *MUTANTS[mutant])
    with pytest.raises((AssertionError, ValueError)):  # a sum of other shapes is caught, too
        both_checks()


def both_checks() -> None:
    check_few()
    check_many()


def test_without_clipping_the_bound_still_holds(monkeypatch):
    monkeypatch.setattr(mlp_clipping, "truncate", norm_per_part)
    clipped = clip(encoder_case(3, WHOSE * 8, 5, (4,), 3.0), 2**19)
    norms = [sum(v * v for v in gradient(clipped, record)) for record in range(32)]
    assert max(norms) <= 2**38
    assert 0 in norms
