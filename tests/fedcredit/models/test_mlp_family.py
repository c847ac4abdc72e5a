"""The neural family: shapes, ownership, sensitivity, bytes, scoring, a whole job."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from fedcredit import preflight
from fedcredit.data.rows import Rows, concatenate, single
from fedcredit.errors import WireError
from fedcredit.models.descent import WEIGHT_LIMIT, WEIGHT_SCALE, on_grid
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import family_of
from fedcredit.models.mlp_inputs import INPUT_BOUND, design
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.planning import accountant_for
from fedcredit.preflight import Preflight
from fedcredit.privacy.accounting import Mechanism
from fedcredit.wire.canonical import canonical_json
from tests import tiny

FAMILY = family_of("mlp")
DICTIONARY = tiny.dictionary()
SPEC = MlpSpec(rounds=6, hidden_sizes=(5, 3), sampling_rate=1.0, clip_l2_norm=0.5)
LENGTH = 5 * 6 + (3 * 5 + 3) + (1 * 3 + 1)  # 4 features and 2 types in; no biases in the first layer
NO_NOISE = np.zeros(LENGTH)
RECORDS = np.full(LENGTH, 600.0)


def released(*parts: tuple[str, Rows]) -> Preflight:
    sums = sum(preflight.count(DICTIONARY, kind, rows).sum(axis=0) for kind, rows in parts)
    return preflight.read_release(DICTIONARY, sums, 1, dict.fromkeys(range(4), 0))


@cache
def start(spec: MlpSpec = SPEC) -> Any:
    parts = (("bank", tiny.rows("bank", 300, 1)), ("hospital", tiny.rows("hospital", 300, 2)))
    return FAMILY.init(spec, DICTIONARY, released(*parts), NO_NOISE, RECORDS)


def no_rows(kind: str) -> Rows:
    return single(np.zeros((0, len(DICTIONARY.owned(kind))), dtype=np.uint16), np.zeros(0, dtype=np.uint8))


def model_with(weights: np.ndarray) -> bytes:
    return MlpModel(start().values, on_grid(weights)).encode()


def random_weights(seed: int, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(LENGTH)


# --- the plan's side -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": 0},
        {"hidden_sizes": ()},
        {"hidden_sizes": (0,)},
        {"hidden_sizes": (4,) * 4},
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.01},
        {"clip_l2_norm": float("inf")},
        {"clip_l2_norm": float("nan")},
        {"clip_l2_norm": 0.0},
        {"gradient_scale": 1.5},
        {"gradient_scale": 2**16 + 1},
        {"gradient_scale": 2**21},
        {"gradient_scale": 2**16, "clip_l2_norm": 0.5},
        {"learning_rate": -1.0},
        {"init_seed": -1},
        {"batch_norm": True},
        {"family": "scorecard"},
    ],
)
def test_a_spec_outside_its_ranges_is_refused(wrong):
    with pytest.raises(ValidationError, match=re.escape(next(iter(wrong)))):
        MlpSpec(**wrong)


def test_terms_follow_from_the_plan_alone():
    terms = FAMILY.terms(SPEC, DICTIONARY)
    assert (terms.vector_length, terms.scale, terms.sampling_rate) == (LENGTH, 2**20, 1.0)
    assert dict(terms.sensitivity_squared) == {"bank": 2**38, "hospital": 2**38}


@given(st.floats(1, 100), st.integers(2**6, 2**10).map(lambda steps: steps * INPUT_SCALE))
def test_the_integer_radius_never_exceeds_the_clipping_norm(clip_l2_norm, scale):
    radius = MlpSpec(clip_l2_norm=clip_l2_norm, gradient_scale=scale).clip_radius
    numerator, denominator = clip_l2_norm.as_integer_ratio()
    assert radius * denominator <= numerator * scale < (radius + 1) * denominator


def test_first_layer_weights_belong_to_the_types_that_own_their_input():
    bank, hospital = (FAMILY.owned_coordinates(SPEC, DICTIONARY, kind) for kind in ("bank", "hospital"))
    # Inputs: age, status, bill, paid, then the indicators of bank and hospital.
    np.testing.assert_array_equal(bank[:30].reshape(5, 6), [[True, True, True, False, True, False]] * 5)
    np.testing.assert_array_equal(hospital[:30].reshape(5, 6), [[True, False, False, True, False, True]] * 5)
    assert bank[30:].all()
    assert hospital[30:].all()


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_no_gradient_outside_the_owned_coordinates_and_some_inside(kind):
    sums = FAMILY.contribute(SPEC, DICTIONARY, kind, model_with(random_weights(0)), tiny.rows(kind, 200, 4))
    owned = FAMILY.owned_coordinates(SPEC, DICTIONARY, kind)
    assert not sums[0, ~owned].any()
    assert sums[0, owned].all()


def test_the_family_needs_no_torch():
    script = (
        "import sys; sys.modules.update(torch=None, opacus=None)\n"
        "from fedcredit.models.family import family_of\n"
        "family_of('mlp'); print('loaded')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "loaded\n"


# --- contribute ----------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bank", "hospital"]), st.floats(0.01, 8))
def test_removing_one_record_moves_the_vector_by_at_most_the_stated_sensitivity(seed, kind, size):
    model = model_with(random_weights(seed, size))
    rows = tiny.rows(kind, 6, seed)
    less = single(rows.cells[1:], rows.bad[1:])
    moved = FAMILY.contribute(SPEC, DICTIONARY, kind, model, rows) - FAMILY.contribute(
        SPEC, DICTIONARY, kind, model, less
    )
    bound = FAMILY.terms(SPEC, DICTIONARY).sensitivity_squared[kind]
    assert 0 <= sum(int(v) ** 2 for v in moved[0]) <= bound


def test_an_empty_batch_sends_zeros_of_the_same_length():
    sums = FAMILY.contribute(SPEC, DICTIONARY, "bank", FAMILY.broadcast(start()), no_rows("bank"))
    np.testing.assert_array_equal(sums, np.zeros((1, LENGTH), dtype=np.int64))
    assert sums.dtype == np.int64


def test_many_institutions_at_once_give_what_each_gives_alone():
    parts = [tiny.rows("bank", n, n) for n in (7, 1, 30)]
    parts.insert(1, no_rows("bank"))
    model = model_with(random_weights(1))
    alone = [FAMILY.contribute(SPEC, DICTIONARY, "bank", model, part)[0] for part in parts]
    together = FAMILY.contribute(SPEC, DICTIONARY, "bank", model, concatenate(parts))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_chunks_change_nothing(monkeypatch, size):
    parts = [tiny.rows("hospital", n, n) for n in (57, 1, 140)]
    parts.insert(1, no_rows("hospital"))
    rows, model = concatenate([*parts, no_rows("hospital")]), model_with(random_weights(1))
    whole = FAMILY.contribute(SPEC, DICTIONARY, "hospital", model, rows)
    monkeypatch.setattr("fedcredit.models.mlp_family._CHUNK_RECORDS", size)
    np.testing.assert_array_equal(FAMILY.contribute(SPEC, DICTIONARY, "hospital", model, rows), whole)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 4))
def test_a_record_adds_the_same_integers_alone_in_any_batch_and_in_any_order(seed, size):
    rows, model = tiny.rows("bank", 25, seed), model_with(random_weights(seed, size))

    def contribute(records) -> np.ndarray:
        part = single(rows.cells[records], rows.bad[records])
        return FAMILY.contribute(SPEC, DICTIONARY, "bank", model, part)[0]

    together = contribute(slice(None))
    np.testing.assert_array_equal(contribute(np.random.default_rng(seed).permutation(25)), together)
    np.testing.assert_array_equal(sum(contribute([i]) for i in range(25)), together)
    np.testing.assert_array_equal(together - contribute(slice(1, None)), contribute([0]))


def test_the_same_rows_and_model_give_the_same_integers():
    rows, model = tiny.rows("bank", 500, 3), model_with(random_weights(1))
    first, second = (FAMILY.contribute(SPEC, DICTIONARY, "bank", model, rows) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_extreme_weights_are_neither_an_error_nor_a_warning():
    model = model_with(np.full(LENGTH, 1e9))
    rows = tiny.rows("bank", 20, 0)
    sums = FAMILY.contribute(SPEC, DICTIONARY, "bank", model, rows)
    assert np.abs(sums).max() <= 20 * SPEC.clip_radius
    assert np.isfinite(FAMILY.margins(SPEC, DICTIONARY, "bank", model, rows.cells)).all()


# --- the coordinator's side ----------------------------------------------------------------------------------------


def test_the_start_is_the_public_seed_and_the_released_base_rate():
    state, again = start(), start.__wrapped__()
    np.testing.assert_array_equal(state.descent.weights, again.descent.weights)
    other = start(SPEC.model_copy(update={"init_seed": 1}))
    assert np.mean(state.descent.weights[:30] != other.descent.weights[:30]) > 0.5
    parts = [tiny.rows(kind, 300, seed).bad for kind, seed in (("bank", 1), ("hospital", 2))]
    rate = np.concatenate(parts).mean()
    assert state.descent.weights[-1] == pytest.approx(np.log(rate / (1 - rate)))
    assert not state.descent.weights[:30].reshape(5, 6)[:, 4:].any()


def test_a_release_of_pure_noise_is_a_usable_start():
    counts = tuple(np.full((feature.n_cells, 2), -5.0) for feature in DICTIONARY.features)
    state = FAMILY.init(SPEC, DICTIONARY, Preflight(counts, (5.0,) * 4), NO_NOISE, np.zeros(LENGTH))
    assert (state.descent.records == 1.0).all()
    assert np.isfinite(state.descent.weights).all()
    FAMILY.broadcast(state)


def test_a_step_divides_by_the_public_constants_only():
    spec = SPEC.model_copy(update={"sampling_rate": 0.25, "learning_rate": 3.0})
    state = start(spec)
    sums = np.arange(LENGTH, dtype=np.int64) * 1000
    stepped = FAMILY.update(state, sums)
    moved = state.descent.weights - stepped.descent.weights
    np.testing.assert_allclose(moved, 3.0 * sums / (2**20 * 0.25 * 600), rtol=0, atol=1e-14)


def test_a_step_stays_within_the_public_weight_range():
    stepped = FAMILY.update(start(), np.full(LENGTH, -(2**50), dtype=np.int64))
    assert np.all(stepped.descent.weights == WEIGHT_LIMIT)
    assert decode(SPEC, DICTIONARY, FAMILY.broadcast(stepped)).units.tolist() == [8 * WEIGHT_SCALE] * LENGTH


def test_the_released_model_is_the_mean_of_the_second_half():
    state, iterates = start(), []
    for round_number in range(SPEC.rounds):
        state = FAMILY.update(state, np.full(LENGTH, 1000 * (round_number + 1), dtype=np.int64))
        iterates.append(state.descent.weights)
    expected = np.rint(np.mean(iterates[3:], axis=0) * WEIGHT_SCALE)
    np.testing.assert_allclose(decode(SPEC, DICTIONARY, FAMILY.final(state)).units, expected, atol=1)


def test_a_job_that_ends_early_releases_the_current_weights():
    state = FAMILY.update(start(), np.full(LENGTH, 10**6, dtype=np.int64))
    assert FAMILY.final(state) == FAMILY.broadcast(state)


# --- bytes ---------------------------------------------------------------------------------------------------------


@given(arrays(np.float64, LENGTH, elements=st.floats(-8, 8)))
def test_model_bytes_survive_a_round_trip(weights):
    data = model_with(weights)
    assert decode(SPEC, DICTIONARY, data).encode() == data
    np.testing.assert_allclose(decode(SPEC, DICTIONARY, data).units / WEIGHT_SCALE, weights, rtol=0, atol=2.0**-21)


def test_the_bytes_are_little_endian():
    state = start()
    data = MlpModel(state.values, np.arange(LENGTH, dtype=np.int32) + 256).encode()
    table = np.concatenate(state.values)
    assert data[:2] == int(table[0]).to_bytes(2, "little", signed=True)
    assert data[2 * table.size :][:8] == bytes([0, 1, 0, 0, 1, 1, 0, 0])


@pytest.mark.parametrize("cut", [-1, 1, 4])
def test_bytes_of_another_length_are_refused(cut):
    data = FAMILY.broadcast(start())
    wrong = data[:cut] if cut < 0 else data + bytes(cut)
    for read in (
        lambda: FAMILY.contribute(SPEC, DICTIONARY, "bank", wrong, no_rows("bank")),
        lambda: FAMILY.margins(SPEC, DICTIONARY, "bank", wrong, no_rows("bank").cells),
    ):
        with pytest.raises(WireError, match=f"has {len(data)} bytes, got {len(wrong)}"):
            read()


@pytest.mark.parametrize("foreign", ["value", "weight", "smallest"])
def test_bytes_beyond_the_public_ranges_are_refused(foreign):
    data = bytearray(FAMILY.broadcast(start()))
    if foreign == "value":
        data[:2] = (INPUT_BOUND + 1).to_bytes(2, "little")
    else:
        data[-4:] = {"weight": 8 * WEIGHT_SCALE + 1, "smallest": -(2**31)}[foreign].to_bytes(4, "little", signed=True)
    with pytest.raises(WireError, match="public value ranges"):
        decode(SPEC, DICTIONARY, bytes(data))


# --- scoring and release -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["bank", "hospital"])
def test_margins_are_the_networks_log_odds(view):
    weights, rows = random_weights(5), tiny.rows(view, 50, 9)
    model = decode(SPEC, DICTIONARY, model_with(weights))
    x = design(SPEC, DICTIONARY, view, model.values, rows.cells)
    w, x = model.units / WEIGHT_SCALE, x / INPUT_SCALE
    hidden = np.tanh(np.tanh(x @ w[:30].reshape(5, 6).T) @ w[30:45].reshape(3, 5).T + w[45:48])
    logits = hidden @ w[48:51] + w[51]
    margins = FAMILY.margins(SPEC, DICTIONARY, view, model.encode(), rows.cells)
    assert margins.dtype == np.int64
    np.testing.assert_allclose(margins, 1024 * logits, rtol=0, atol=0.5 + 0.01)
    alone = [FAMILY.margins(SPEC, DICTIONARY, view, model.encode(), rows.cells[i : i + 1])[0] for i in range(50)]
    assert margins.tolist() == alone


def test_the_release_is_canonical_json_and_scores_like_the_final_bytes():
    state = FAMILY.update(start(), np.arange(LENGTH, dtype=np.int64) * 10**4)
    value = FAMILY.release(state)
    assert canonical_json(value) == canonical_json(FAMILY.release(state))
    numbers = [
        number
        for layer in value["layers"]
        for part in (layer["weights"], layer["biases"])
        if part is not None
        for number in np.ravel(part).tolist()
    ]
    assert numbers == decode(SPEC, DICTIONARY, FAMILY.final(state)).units.tolist()
    assert list(value["inputs"]) == ["age", "status", "bill", "paid"]


def test_training_on_all_owners_sorts_good_from_bad():
    spec = MlpSpec(rounds=30, hidden_sizes=(6,), sampling_rate=1.0, learning_rate=4.0)
    parts = {kind: tiny.rows(kind, 600, seed) for kind, seed in (("bank", 1), ("hospital", 2))}
    records = np.full(FAMILY.terms(spec, DICTIONARY).vector_length, 1200.0)
    state = FAMILY.init(spec, DICTIONARY, released(*parts.items()), records, records)
    untrained = mean_gap(spec, state)
    for _ in range(spec.rounds):
        model = FAMILY.broadcast(state)
        state = FAMILY.update(
            state, sum(FAMILY.contribute(spec, DICTIONARY, kind, model, rows)[0] for kind, rows in parts.items())
        )
    trained = mean_gap(spec, state)
    assert all(trained[kind] > 1024 for kind in parts)  # a factor e in the odds, on rows never seen
    assert all(abs(untrained[kind]) < 300 for kind in parts)


def mean_gap(spec: MlpSpec, state) -> dict[str, float]:
    """Mean margin of bad minus that of good records on fresh rows, per type."""
    gaps = {}
    for kind, seed in (("bank", 11), ("hospital", 12)):
        rows = tiny.rows(kind, 500, seed)
        margins = FAMILY.margins(spec, DICTIONARY, kind, FAMILY.final(state), rows.cells)
        gaps[kind] = float(margins[rows.bad == 1].mean() - margins[rows.bad == 0].mean())
    return gaps


# --- the seam ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("privacy", "mode"), [(tiny.LOCAL, "mixed"), (tiny.NONE, "not_private")])
def test_coordinator_and_custodians_run_it_like_any_family(privacy, mode):
    model = MlpSpec(rounds=3, hidden_sizes=(4,), sampling_rate=0.25)
    job = replace(tiny.spec(privacy), model=model)
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members)
    assert driver.progress.next_phase == "done"
    assert driver.progress.state.descent.rounds_done == 3
    assert {member.ledger.account.accountant.mode for member in members.values()} == {mode}
    assert canonical_json(FAMILY.release(driver.progress.state))


def test_the_planned_rounds_stay_within_the_budget():
    job = replace(tiny.spec(), model=MlpSpec(sampling_rate=0.25))
    plan = tiny.federation(job).plan
    train = plan.phases.train
    accountant = accountant_for(plan.privacy, train.sampling_rate)
    for kind, squared in train.sensitivity_squared.items():
        release = Mechanism(squared, train.noise_variance[kind], train.sampling_rate)
        spent = accountant.cost(release) * train.rounds / accountant.target(4.0, 1e-5)
        assert 0.7499 < spent <= 0.75
