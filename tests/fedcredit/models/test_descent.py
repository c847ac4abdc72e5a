"""Local and server steps against the formulas of their papers, written out one coordinate at a time."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedcredit import preflight
from fedcredit.models.descent import (
    WEIGHT_LIMIT,
    WEIGHT_SCALE,
    begin,
    descend,
    local_message,
    local_step,
    on_grid,
)
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.family import LocalStep, family_of
from fedcredit.models.mlp_model import decode
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.server_spec import FedAdam, FedAvg, FedAvgM
from tests import tiny
from tests.step_traces import slow_message, slow_step

SERVERS = [
    FedAvg(),
    FedAvg(learning_rate=0.5),
    FedAvgM(optimizer="fedavgm", learning_rate=0.7, momentum=0.8),
    FedAdam(optimizer="fedadam", learning_rate=0.05, first_decay=0.8, second_decay=0.95, floor=1e-2),
]
UNITS = st.integers(-(2**23), 2**23)
COORDINATES = st.lists(st.tuples(UNITS, UNITS, st.integers(-(2**50), 2**50)), min_size=1, max_size=8)
RATE = st.sampled_from([0.01, 0.25, 1.0])
RECORDS = st.integers(1, 10**6).map(float)


def ints(values):
    return np.array(values, dtype=np.int32)


def floats(*values):
    return np.array(values, dtype=np.float64)


def released_sums(seed, rounds=7):
    return np.random.default_rng(seed).integers(-(2**31), 2**31, (rounds, 3))


# Steps of an institution's own.


@given(COORDINATES, RATE, st.sampled_from([1e-4, 0.5, 6.0, 1000.0]), st.sampled_from([0.0, 0.15, 0.9]), RECORDS)
def test_a_local_step_is_its_slow_twin(coordinates, rate, learning_rate, overshoot, records):
    start, current, sums = (list(part) for part in zip(*coordinates, strict=True))
    spec = DescentSpec(
        sampling_rate=rate, local_steps=2, learning_rate=learning_rate, proximal=min(1000.0, overshoot / learning_rate)
    )
    moved = local_step(spec, ints(start), ints(current), np.array(sums), records)
    assert moved.dtype == np.int32
    assert moved.tolist() == slow_step(spec, start, current, sums, records)


@given(COORDINATES, RATE, st.sampled_from([1e-4, 0.5, 1000.0]), RECORDS)
def test_a_local_message_is_the_exact_quotient_to_the_rounding_of_floats(coordinates, rate, learning_rate, records):
    spec = DescentSpec(sampling_rate=rate, local_steps=2, learning_rate=learning_rate)
    start, end, _ = (list(part) for part in zip(*coordinates, strict=True))
    sent = local_message(spec, ints(start), ints(end), records)
    assert sent.dtype == np.int64
    for first, last, one in zip(start, end, sent.tolist(), strict=True):
        divisor = spec.gradient_scale * Fraction(rate) * Fraction(records) / Fraction(learning_rate)
        exact = Fraction(first - last, WEIGHT_SCALE) * divisor
        assert abs(one - exact) <= Fraction(1, 2) + abs(exact) * Fraction(1, 2**50)


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20), st.sampled_from([0.0, 0.1]), RECORDS)
def test_a_message_is_bounded_by_the_sums_of_its_steps(sums, proximal, records):
    """So the overflow check, which counts the sums of all steps, holds for the message as well."""
    spec = DescentSpec(sampling_rate=0.25, local_steps=2, learning_rate=0.5, proximal=proximal)
    (sent,) = slow_message(spec, [0], [[one] for one in sums], records)
    rounding = len(sums) * 0.5 / WEIGHT_SCALE * spec.gradient_scale * 0.25 * records / spec.learning_rate
    assert abs(sent) <= (sum(map(abs, sums)) + rounding) * (1 + 1e-12) + 1


def test_one_local_step_sends_its_own_sum_back_to_grid_rounding():
    spec = DescentSpec(sampling_rate=0.25, local_steps=2, learning_rate=0.5)
    start, sums = ints([0, 1000, -5000]), np.array([2**30, -(2**29), 12345])
    sent = local_message(spec, start, local_step(spec, start, start, sums, 600.0), 600.0)
    grid = 0.5 / WEIGHT_SCALE / spec.learning_rate * spec.gradient_scale * 0.25 * 600
    assert np.abs(sent - sums).max() <= grid + 1


def test_the_pull_is_that_of_fedprox():
    """With a constant gradient g, FedProx's steps on g·w + (μ/2)·(w − w₀)² have a closed form."""
    spec = DescentSpec(sampling_rate=1.0, local_steps=9, learning_rate=0.2, proximal=1.5)
    start = current = ints([WEIGHT_SCALE, 0, -3 * WEIGHT_SCALE])
    sums = np.array([2**28, -(2**27), 2**26])
    gradient = sums / (spec.gradient_scale * 100.0)
    for _ in range(spec.local_steps):
        current = local_step(spec, start, current, sums, 100.0)
    kept = 1 - spec.learning_rate * spec.proximal
    way = -gradient / spec.proximal * (1 - kept**spec.local_steps)
    np.testing.assert_allclose((current - start) / WEIGHT_SCALE, way, rtol=0, atol=spec.local_steps / WEIGHT_SCALE)


def test_a_pull_holds_an_institution_back():
    start = ints([0])
    ends = []
    for proximal in (0.0, 0.5, 5.0):
        spec = DescentSpec(sampling_rate=1.0, local_steps=20, learning_rate=0.1, proximal=proximal)
        current = start
        for _ in range(spec.local_steps):
            current = local_step(spec, start, current, np.array([-(2**26)]), 100.0)
        ends.append(int(current[0]))
    assert ends[0] > ends[1] > ends[2] > 0


# The coordinator's step.


def test_averaging_messages_is_averaging_weights():
    """FedAvg (Algorithm 1): the mean of the institutions' own last weights, with weights N_i / ΣN_i."""
    spec = DescentSpec(rounds=1, sampling_rate=0.25, local_steps=4, learning_rate=0.5)
    generator = np.random.default_rng(3)
    records, start = [400.0, 800.0, 2400.0], generator.integers(-(2**20), 2**20, 50).astype(np.int32)
    ends = [np.clip(start + generator.integers(-(2**19), 2**19, 50), -(2**23), 2**23).astype(np.int32) for _ in records]
    sums = sum(local_message(spec, start, end, own) for end, own in zip(ends, records, strict=True))
    state = begin(start / WEIGHT_SCALE, np.full(50, sum(records)))
    mean = np.average(np.array(ends), axis=0, weights=records)
    np.testing.assert_allclose(descend(spec, state, sums).weights * WEIGHT_SCALE, mean, rtol=0, atol=1e-2)


def test_a_coordinate_is_averaged_over_its_owners_alone():
    """The second coordinate belongs to one institution of two: its own weight counts whole there."""
    spec = DescentSpec(rounds=1, sampling_rate=1.0, local_steps=2, learning_rate=1.0)
    ends = (ints([WEIGHT_SCALE, WEIGHT_SCALE]), ints([3 * WEIGHT_SCALE, 0]))
    sums = sum(local_message(spec, ints([0, 0]), end, 100.0) for end in ends)
    moved = descend(spec, begin(floats(0.0, 0.0), floats(200.0, 100.0)), sums)
    np.testing.assert_allclose(moved.weights, [2.0, 1.0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("server", SERVERS, ids=lambda one: f"{one.optimizer}-{one.learning_rate}")
def test_server_steps_are_those_of_their_papers(server):
    spec = DescentSpec(rounds=7, sampling_rate=0.25, learning_rate=0.5, server=server)
    sums, records = released_sums(5), [400.0, 900.0, 1300.0]
    state = begin(floats(0.1, -0.2, 0.3), floats(*records))
    weights, iterates = [0.1, -0.2, 0.3], []
    slots = [{"m": 0.0, "v": 0.0} for _ in weights]
    for total in sums:
        state = descend(spec, state, total)
        for place, (slot, one, own) in enumerate(zip(slots, total.tolist(), records, strict=True)):
            delta = -spec.learning_rate * one / (spec.gradient_scale * spec.sampling_rate * own)
            weights[place] = min(max(weights[place] + literal(server, slot, delta), -8.0), 8.0)
        np.testing.assert_allclose(state.weights, weights, rtol=1e-12, atol=1e-13)
        iterates.append(list(weights))
    tail = np.mean(iterates[3:], axis=0)  # of 7 rounds, those whose number is above 3.5
    np.testing.assert_allclose(state.released, tail * WEIGHT_SCALE, rtol=0, atol=0.5001)


def literal(server, slot, delta):
    """What is added to a weight whose mean change over the institutions is `delta`."""
    match server:
        case FedAvg(learning_rate=rate):
            return rate * delta
        case FedAvgM(learning_rate=rate, momentum=beta):  # Hsu et al., section 4.3
            slot["m"] = beta * slot["m"] + delta
            return rate * slot["m"]
        case FedAdam(learning_rate=rate, first_decay=b1, second_decay=b2, floor=tau):  # Reddi et al., Algorithm 2
            slot["m"] = b1 * slot["m"] + (1 - b1) * delta
            slot["v"] = b2 * slot["v"] + (1 - b2) * delta**2
            return rate * slot["m"] / (math.sqrt(slot["v"]) + tau)


def test_without_a_tail_the_current_weights_are_released():
    spec = DescentSpec(rounds=4)
    state = begin(floats(0.5), floats(100.0))
    assert state.released.tolist() == [WEIGHT_SCALE // 2]
    for number, total in enumerate(released_sums(1, 4)[:, :1], start=1):
        state = descend(spec, state, total)
        assert state.tail_rounds == max(0, number - 2)


@pytest.mark.parametrize("server", SERVERS, ids=lambda one: f"{one.optimizer}-{one.learning_rate}")
@pytest.mark.parametrize("extreme", [2**62, -(2**62)])
def test_no_released_sum_leads_out_of_the_weights_range(server, extreme):
    """A member that poisons the sum, at the least divisor that a plan can have."""
    spec = DescentSpec(rounds=50, sampling_rate=1e-6, learning_rate=1000, gradient_scale=2**16, server=server)
    state = begin(floats(0.0, 0.0), floats(0.0, 0.0))
    for _ in range(spec.rounds):
        state = descend(spec, state, np.array([extreme, 0]))
        assert np.all(np.abs(state.weights) <= WEIGHT_LIMIT)
        assert state.weights[1] == 0
    assert np.abs(state.released).max() <= 2**23
    moved = local_step(spec, ints([0, 0]), ints([0, 0]), np.array([extreme, 0]), 1.0)
    assert moved.tolist() == [-np.sign(extreme) * 2**23, 0]


def test_the_grid_ends_at_the_limit():
    assert on_grid(floats(9.0, -9.0, 8.0, 2.0**-21, 3 * 2.0**-21)).tolist() == [2**23, -(2**23), 2**23, 0, 2]


# The family and its plan.


def test_one_client_without_noise_runs_plain_gradient_descent_to_the_byte():
    """K steps at one institution, everybody sampled: the exact sums of those steps, one plain step after the other."""
    dictionary, family = tiny.dictionary(), family_of("mlp")
    spec = MlpSpec(rounds=1, sampling_rate=1.0, local_steps=5, learning_rate=1.0, clip_l2_norm=100, hidden_sizes=(5,))
    rows = tiny.rows("bank", 100, 4)
    counted = preflight.count(dictionary, "bank", rows).sum(axis=0)
    released = preflight.read_release(dictionary, counted, 1, dict.fromkeys(range(4), 0))
    length = family.terms(spec, dictionary).vector_length
    state = family.init(spec, dictionary, released, np.zeros(length), np.full(length, 100.0))
    start = model = family.broadcast(state)
    weights = decode(spec, dictionary, start).units.tolist()
    for _ in range(spec.local_steps):
        sums = family.contribute(spec, dictionary, "bank", model, rows)[0]
        model = family.local_step(spec, dictionary, start, model, LocalStep(sums, 100.0))
        weights = slow_step(spec, weights, weights, sums.tolist(), 100.0)
        assert decode(spec, dictionary, model).units.tolist() == weights
    assert model != start
    message = family.local_message(spec, dictionary, start, model, 100.0)
    end = decode(spec, dictionary, family.broadcast(family.update(state, message)))
    assert end.units.tolist() == weights


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"proximal": 0.1}, "proximal has no effect on the first of local_steps"),
        ({"proximal": 0.5, "local_steps": 2, "learning_rate": 2.0}, r"proximal=0.5 times learning_rate=2.0 overshoots"),
        ({"local_steps": 0}, "local_steps"),
        ({"local_steps": 1001}, "local_steps"),
        ({"proximal": -1.0}, "proximal"),
        ({"sampling_rate": 9e-7}, "sampling_rate"),
        ({"sampling_rate": 1.1}, "sampling_rate"),
        ({"server": {"optimizer": "sgd"}}, "server"),
        ({"server": {"optimizer": "fedavg", "momentum": 0.9}}, "momentum"),
        ({"server": {"optimizer": "fedavgm", "momentum": 1.0}}, "momentum"),
        ({"server": {"optimizer": "fedadam", "floor": 0.0}}, "floor"),
        ({"server": {"optimizer": "fedadam", "learning_rate": float("nan")}}, "learning_rate"),
    ],
)
def test_constants_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        DescentSpec.model_validate(changes)
