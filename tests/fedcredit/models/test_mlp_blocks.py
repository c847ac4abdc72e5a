"""The neural family with an encoder per block: layout, ownership, bytes, release, whole jobs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from fedcredit import preflight
from fedcredit.data.rows import Rows, concatenate, single
from fedcredit.errors import ConfigError, WireError
from fedcredit.models.descent import WEIGHT_SCALE, on_grid
from fedcredit.models.descent_spec import INPUT_SCALE
from fedcredit.models.family import family_of
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.wire.canonical import canonical_json
from tests import tiny
from tests.perceptrons import Case, slow_sum

FAMILY = family_of("mlp")
DICTIONARY = tiny.dictionary()  # applicant: age; bank: status, bill; hospital: paid
SPEC = MlpSpec(rounds=6, hidden_sizes=(3,), encoder_units=4, sampling_rate=1.0, clip_l2_norm=0.5)
FIRST = 4 * 2 + 4 * 3 + 4 * 2  # units times the features of a block and its bit
LENGTH = FIRST + (3 * 12 + 3) + (1 * 3 + 1)
RECORDS = np.full(LENGTH, 600.0)


def start(spec: MlpSpec = SPEC):
    parts = (("bank", tiny.rows("bank", 300, 1)), ("hospital", tiny.rows("hospital", 300, 2)))
    counts = sum(preflight.count(DICTIONARY, kind, rows).sum(axis=0) for kind, rows in parts)
    released = preflight.read_release(DICTIONARY, counts, 1, dict.fromkeys(range(4), 0))
    records = np.full(FAMILY.terms(spec, DICTIONARY).vector_length, 600.0)
    return FAMILY.init(spec, DICTIONARY, released, np.zeros(0), records)


VALUES = start().values


def model_with(weights: np.ndarray) -> bytes:
    return MlpModel(VALUES, on_grid(weights)).encode()


def random_model(seed: int, size: float = 1.0) -> bytes:
    return model_with(size * np.random.default_rng(seed).standard_normal(LENGTH))


def contribute(model: bytes, kind: str, rows: Rows) -> np.ndarray:
    return FAMILY.contribute(SPEC, DICTIONARY, kind, model, rows)


# --- the plan's side -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 257, 1.5])
def test_a_width_outside_its_range_is_refused(wrong):
    with pytest.raises(ValidationError, match="encoder_units"):
        MlpSpec(encoder_units=wrong)


def test_more_encoder_units_than_are_summed_exactly_are_refused():
    most = SPEC.model_copy(update={"encoder_units": 85})
    assert FAMILY.terms(most, DICTIONARY).vector_length == 85 * 7 + 3 * 255 + 3 + 4
    with pytest.raises(ConfigError, match=r"encoder_units=86 for each of 3 blocks are 258 .*to 85 at most"):
        FAMILY.terms(SPEC.model_copy(update={"encoder_units": 86}), DICTIONARY)


def test_terms_follow_from_the_plan_alone():
    terms = FAMILY.terms(SPEC, DICTIONARY)
    assert terms.vector_length == LENGTH
    assert dict(terms.sensitivity_squared) == {"bank": 2**38, "hospital": 2**38}


def test_each_encoder_reads_its_blocks_values_and_its_bit():
    rows = {kind: tiny.rows(kind, 20, 3) for kind in ("bank", "hospital")}
    bank, hospital = (design(SPEC, DICTIONARY, kind, VALUES, rows[kind].cells).T for kind in rows)
    age, status, bill, paid = VALUES
    one, zero = np.full(20, INPUT_SCALE), np.zeros(20)
    cells = rows["bank"].cells.T
    np.testing.assert_array_equal(bank, [age[cells[0]], one, status[cells[1]], bill[cells[2]], one, zero, zero])
    cells = rows["hospital"].cells.T
    np.testing.assert_array_equal(hospital, [age[cells[0]], one, zero, zero, zero, paid[cells[1]], one])


def test_a_type_owns_its_blocks_encoders_and_what_reads_them():
    bank, hospital = (FAMILY.owned_coordinates(SPEC, DICTIONARY, kind) for kind in ("bank", "hospital"))
    assert bank[:FIRST].tolist() == [True] * 8 + [True] * 12 + [False] * 8
    assert hospital[:FIRST].tolist() == [True] * 8 + [False] * 12 + [True] * 8
    above = slice(FIRST, FIRST + 36)
    np.testing.assert_array_equal(bank[above].reshape(3, 12), [[True] * 8 + [False] * 4] * 3)
    np.testing.assert_array_equal(hospital[above].reshape(3, 12), [[True] * 4 + [False] * 4 + [True] * 4] * 3)
    assert bank[FIRST + 36 :].all()
    assert hospital[FIRST + 36 :].all()


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_no_gradient_outside_the_owned_coordinates_and_some_inside(kind):
    sums = contribute(random_model(0), kind, tiny.rows(kind, 200, 4))
    owned = FAMILY.owned_coordinates(SPEC, DICTIONARY, kind)
    assert not sums[0, ~owned].any()
    assert sums[0, owned].all()


# --- contribute and score ------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bank", "hospital"]), st.floats(0.01, 8))
def test_a_record_adds_what_it_adds_alone_within_the_sensitivity(seed, kind, size):
    rows, model = tiny.rows(kind, 12, seed), random_model(seed, size)
    order = np.random.default_rng(seed).permutation(12)
    together = contribute(model, kind, rows)[0]
    np.testing.assert_array_equal(contribute(model, kind, single(rows.cells[order], rows.bad[order]))[0], together)
    alone = contribute(model, kind, concatenate([single(rows.cells[i : i + 1], rows.bad[i : i + 1]) for i in order]))
    np.testing.assert_array_equal(alone.sum(axis=0), together)
    assert max(sum(int(v) ** 2 for v in row) for row in alone) <= SPEC.clip_radius**2


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bank", "hospital"]))
def test_weights_that_a_type_does_not_own_change_none_of_its_integers_or_scores(seed, kind):
    rng, rows = np.random.default_rng(seed), tiny.rows(kind, 12, seed)
    weights, wild = rng.standard_normal(LENGTH), 20 * rng.standard_normal(LENGTH)
    owned = FAMILY.owned_coordinates(SPEC, DICTIONARY, kind)
    one, other = model_with(weights), model_with(np.where(owned, weights, wild))
    np.testing.assert_array_equal(contribute(one, kind, rows), contribute(other, kind, rows))
    scores = [FAMILY.margins(SPEC, DICTIONARY, kind, model, rows.cells) for model in (one, other)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_sums_are_those_of_pythons_integers(kind):
    model, rows = decode(SPEC, DICTIONARY, random_model(2)), tiny.rows(kind, 25, 6)
    inputs = design(SPEC, DICTIONARY, kind, model.values, rows.cells).T
    slow = slow_sum(Case(model.layers(SPEC, DICTIONARY), inputs, rows.bad), SPEC.gradient_scale, SPEC.clip_radius)
    assert contribute(model.encode(), kind, rows)[0].tolist() == slow


@pytest.mark.parametrize("view", ["bank", "hospital"])
def test_margins_are_the_networks_log_odds(view):
    rows, model = tiny.rows(view, 50, 9), decode(SPEC, DICTIONARY, random_model(5))
    w, x = model.units / WEIGHT_SCALE, design(SPEC, DICTIONARY, view, model.values, rows.cells) / INPUT_SCALE
    read = np.hstack([x[:, :2] @ w[:8].reshape(4, 2).T, x[:, 2:5] @ w[8:20].reshape(4, 3).T])
    first = np.tanh(np.hstack([read, x[:, 5:] @ w[20:28].reshape(4, 2).T]))
    logits = np.tanh(first @ w[28:64].reshape(3, 12).T + w[64:67]) @ w[67:70] + w[70]
    margins = FAMILY.margins(SPEC, DICTIONARY, view, model.encode(), rows.cells)
    np.testing.assert_allclose(margins, 1024 * logits, rtol=0, atol=0.5 + 0.01)
    assert not FAMILY.margins(SPEC, DICTIONARY, view, model.encode(), rows.cells[:0]).size


# --- bytes, start, release -----------------------------------------------------------------------------------------


@given(arrays(np.float64, LENGTH, elements=st.floats(-8, 8)))
def test_model_bytes_survive_a_round_trip(weights):
    data = model_with(weights)
    assert decode(SPEC, DICTIONARY, data).encode() == data


def test_bytes_of_another_layout_are_refused():
    plain = SPEC.model_copy(update={"encoder_units": 0})
    with pytest.raises(WireError, match="uses another plan"):
        decode(plain, DICTIONARY, random_model(0))


def test_the_bits_start_at_zero_and_the_rest_does_not():
    weights = start().descent.weights
    bits = np.zeros(FIRST, dtype=bool)
    bits[[1, 3, 5, 7, 10, 13, 16, 19, 21, 23, 25, 27]] = True
    assert not weights[:FIRST][bits].any()
    assert weights[:FIRST][~bits].all()


def test_the_release_says_what_each_encoder_reads():
    state = FAMILY.update(start(), np.arange(LENGTH, dtype=np.int64) * 10**4)
    value = FAMILY.release(state)
    read = [(encoder["block"], encoder["features"]) for encoder in value["encoders"]]
    assert read == [("applicant", ["age"]), ("bank", ["status", "bill"]), ("hospital", ["paid"])]
    numbers = [v for part in value["encoders"] for v in np.ravel(part["weights"]).tolist()]
    for layer in value["layers"]:
        numbers += [*np.ravel(layer["weights"]).tolist(), *layer["biases"]]
    assert numbers == decode(SPEC, DICTIONARY, FAMILY.final(state)).units.tolist()
    assert canonical_json(value)


# --- training ------------------------------------------------------------------------------------------------------


def test_training_on_all_owners_sorts_good_from_bad():
    spec = MlpSpec(rounds=30, hidden_sizes=(6,), encoder_units=4, sampling_rate=1.0, learning_rate=4.0)
    parts = {kind: tiny.rows(kind, 600, seed) for kind, seed in (("bank", 1), ("hospital", 2))}
    state = start(spec)
    for _ in range(spec.rounds):
        model = FAMILY.broadcast(state)
        sums = [FAMILY.contribute(spec, DICTIONARY, kind, model, rows)[0] for kind, rows in parts.items()]
        state = FAMILY.update(state, sum(sums))
    for kind, seed in (("bank", 11), ("hospital", 12)):
        rows = tiny.rows(kind, 500, seed)
        margins = FAMILY.margins(spec, DICTIONARY, kind, FAMILY.final(state), rows.cells)
        assert margins[rows.bad == 1].mean() - margins[rows.bad == 0].mean() > 1024  # a factor e in the odds


@pytest.mark.parametrize("privacy", [tiny.LOCAL, tiny.NONE])
def test_banks_and_hospitals_run_a_whole_job(privacy):
    model = MlpSpec(rounds=3, hidden_sizes=(4,), encoder_units=2, sampling_rate=0.25)
    job = replace(tiny.spec(privacy), model=model)
    consortium = tiny.federation(job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, tiny.custodians(consortium, job))
    assert driver.progress.next_phase == "done"
    assert driver.progress.state.descent.rounds_done == 3
    assert len(FAMILY.release(driver.progress.state)["encoders"]) == 3
