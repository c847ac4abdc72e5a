import json
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.contributions import Contributions, Reason, explain, top_reasons
from fedcredit.models.family import family_of
from fedcredit.models.integrated_gradients import integrated_gradients
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_layout import split
from fedcredit.models.mlp_slopes import smooth
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.wire.canonical import canonical_json
from tests import tiny

SPECS = pytest.mark.parametrize("spec", [AdditiveSpec(rounds=3), ScorecardSpec(rounds=3)], ids=lambda s: s.family)


@pytest.fixture(scope="module")
def fitted(dictionary, make_rows, release_counts):
    """State of a short training without noise on 900 bank rows, by family; and the rows."""
    rows = make_rows("bank", [900])

    def make(spec):
        family = family_of(spec.family)
        no_noise = np.zeros(family.terms(spec, dictionary).vector_length)
        state = family.init(spec, dictionary, release_counts(dictionary, {"bank": rows}), no_noise, no_noise)
        for _ in range(spec.rounds):
            sums = family.contribute(spec, dictionary, "bank", family.broadcast(state), rows).sum(axis=0)
            state = family.update(state, sums)
        return state

    return make, rows


@SPECS
def test_base_and_contributions_are_the_score(dictionary, fitted, spec):
    make, rows = fitted
    state, family = make(spec), family_of(spec.family)
    found = explain(family.release(state), dictionary, "bank", rows.cells)
    exact = family.margins(spec, dictionary, "bank", family.final(state), rows.cells) / 1024
    np.testing.assert_allclose(found.scores, exact, atol=1e-12)
    assert found.features == tuple(f.name for f in dictionary.owned_features("bank"))


@SPECS
def test_over_the_counted_population_they_cancel(dictionary, fitted, spec):
    make, rows = fitted
    found = explain(family_of(spec.family).release(make(spec)), dictionary, "bank", rows.cells)
    np.testing.assert_allclose(found.values.mean(axis=0), 0, atol=1e-12)
    assert found.values.std(axis=0).max() > 0.1


def test_a_view_reads_its_own_features(dictionary, fitted, make_rows):
    make, _ = fitted
    released, cells = family_of("additive").release(make(AdditiveSpec(rounds=3))), make_rows("hospital", [20]).cells
    assert explain(released, dictionary, "hospital", cells).features == ("income", "housing", "paid")


def test_reasons_are_the_heaviest_against_the_customer(dictionary):
    found = Contributions(("income", "housing", "delay"), -1.0, np.array([[0.1, -0.2, 0.4], [-1.0, 0.0, -2.0]]))
    worded = tuple(feature.model_copy(update={"reason": f"about {feature.name}"}) for feature in dictionary.features)
    named = dictionary.model_copy(update={"features": worded})
    assert top_reasons(named, found) == (
        (Reason("delay", "about delay", 0.4), Reason("income", "about income", 0.1)),
        (),
    )
    assert top_reasons(named, found, most=1)[0] == (Reason("delay", "about delay", 0.4),)
    assert top_reasons(named, found, most=0) == ((), ())


def test_what_does_not_fit_is_refused(dictionary, fitted):
    make, rows = fitted
    released = family_of("additive").release(make(AdditiveSpec(rounds=3)))
    with pytest.raises(ConfigError, match=r"family 'forest' cannot be explained; .*, mlp can"):
        explain({"family": "forest"}, dictionary, "bank", rows.cells)
    with pytest.raises(ConfigError, match="no institution type 'insurer'"):
        explain(released, dictionary, "insurer", rows.cells)
    with pytest.raises(ConfigError, match=r"need shape \(n, 3\)"):
        explain(released, dictionary, "bank", rows.cells[:, :2])
    with pytest.raises(ConfigError, match="income has 7 cells"):
        explain(released, dictionary, "bank", np.full((1, 3), 200, np.uint16))
    with pytest.raises(ConfigError, match="does not read a bank's features of dictionary 'tiny'"):
        explain(released, tiny.dictionary(), "bank", rows.cells[:1])


# --- the perceptron ------------------------------------------------------------------------------------------------

ENCODERS = pytest.mark.parametrize("encoder_units", [0, 3])


def perceptron(dictionary, release_counts, make_rows, spec, size, seed=0):
    """State of a perceptron with random weights on counted inputs."""
    family = family_of("mlp")
    preflight = release_counts(dictionary, {kind: make_rows(kind, [400]) for kind in dictionary.kinds})
    length = family.terms(spec, dictionary).vector_length
    state = family.init(spec, dictionary, preflight, np.zeros(length), np.full(length, 400.0))
    weights = size * np.random.default_rng(seed).uniform(-1, 1, length)
    return replace(state, descent=replace(state.descent, weights=weights))


@ENCODERS
@pytest.mark.parametrize("size", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("view", ["bank", "hospital"])
def test_a_perceptrons_contributions_add_up_to_the_released_score(
    dictionary, make_rows, release_counts, encoder_units, size, view
):
    spec, family = MlpSpec(hidden_sizes=(8, 4), encoder_units=encoder_units), family_of("mlp")
    state, cells = perceptron(dictionary, release_counts, make_rows, spec, size), make_rows(view, [60], 9).cells
    released = json.loads(canonical_json(family.release(state)))
    found = explain(released, dictionary, view, cells)
    exact = family.margins(spec, dictionary, view, family.final(state), cells) / 1024
    np.testing.assert_allclose(np.clip(found.scores, -32, 32), exact, rtol=0, atol=2**-10)
    assert found.features == tuple(f.name for f in dictionary.owned_features(view))
    assert np.ptp(exact) > 0.05


@ENCODERS
def test_base_is_the_score_of_a_customer_of_whom_nothing_is_known(dictionary, make_rows, release_counts, encoder_units):
    spec, family = MlpSpec(hidden_sizes=(5,), encoder_units=encoder_units), family_of("mlp")
    state = perceptron(dictionary, release_counts, make_rows, spec, 1.0)
    silent = replace(state, values=tuple(np.zeros_like(part) for part in state.values))
    found = explain(family.release(silent), dictionary, "bank", np.zeros((2, 3), np.uint16))
    assert np.all(found.values == 0)
    known = explain(family.release(state), dictionary, "bank", np.zeros((2, 3), np.uint16))
    assert known.base == found.base
    assert np.all(known.values != 0)


def test_the_exact_rest_is_small(dictionary, make_rows, release_counts):
    """What is shared out is a rounding: the same integral without it is as good as equal."""
    spec = MlpSpec(hidden_sizes=(8, 4))
    state = perceptron(dictionary, release_counts, make_rows, spec, 2.0)
    cells = make_rows("bank", [20], 9).cells
    found = explain(family_of("mlp").release(state), dictionary, "bank", cells)
    layers = state.released.layers(spec, dictionary)
    end = design(spec, dictionary, "bank", state.values, cells).T / 1024
    start = end.copy()
    start[[0, 1, 2]] = 0.0
    plain = integrated_gradients(smooth(layers), start, end)[[0, 1, 2]].T
    np.testing.assert_allclose(found.values, plain, rtol=0, atol=1e-5)


def test_a_perceptron_whose_units_read_one_feature_each_is_taken_apart_exactly(dictionary, make_rows, release_counts):
    """One hidden layer without mixing is additive: a contribution is the function's value minus its value at 0."""
    spec, family = MlpSpec(hidden_sizes=(8,)), family_of("mlp")
    state = perceptron(dictionary, release_counts, make_rows, spec, 3.0)
    layers = split(spec, dictionary, state.descent.weights)
    layers[0].weights[:, :4] *= np.tile(np.eye(4), (2, 1))
    cells = make_rows("bank", [30], 9).cells
    found = explain(family.release(state), dictionary, "bank", cells)
    grid = [layer.weights for layer in state.released.layers(spec, dictionary)]
    first, last = grid[0] / 2**20, grid[1][0] / 2**20
    bank = 4 + dictionary.kinds.index("bank")
    for column in range(3):
        x = state.values[column][cells[:, column]] / 1024
        units = [column, column + 4]
        sums = first[units, column][:, None] * x + first[units, bank][:, None]
        exact = last[units] @ (np.tanh(sums) - np.tanh(first[units, bank])[:, None])
        np.testing.assert_allclose(found.values[:, column], exact, rtol=0, atol=1e-5)


def test_an_unread_feature_and_equal_features_of_a_perceptron(dictionary, make_rows, release_counts):
    spec, family = MlpSpec(hidden_sizes=(6,)), family_of("mlp")
    state = perceptron(dictionary, release_counts, make_rows, spec, 2.0)
    layers = split(spec, dictionary, state.descent.weights)
    layers[0].weights[:, 1] = 0.0
    layers[0].weights[:, 2] = layers[0].weights[:, 0]
    one = np.full_like(state.values[0], 700)
    twins = replace(state, values=(one, state.values[1], np.full_like(state.values[2], 700), state.values[3]))
    found = explain(family.release(twins), dictionary, "bank", make_rows("bank", [20]).cells)
    assert np.all(found.values[:, 1] == 0)
    np.testing.assert_allclose(found.values[:, 0], found.values[:, 2], rtol=0, atol=1e-9)
    assert np.all(found.values[:, 0] != 0)


@ENCODERS
def test_an_edited_perceptron_is_refused(dictionary, make_rows, release_counts, encoder_units):
    spec = MlpSpec(hidden_sizes=(5, 3), encoder_units=encoder_units)
    state, cells = perceptron(dictionary, release_counts, make_rows, spec, 1.0), make_rows("bank", [3]).cells
    released = canonical_json(family_of("mlp").release(state))
    assert explain(json.loads(released), dictionary, "bank", cells).values.shape == (3, 3)

    def refused(match, edit):
        edited = json.loads(released)
        edit(edited)
        with pytest.raises(ConfigError, match=match):
            explain(edited, dictionary, "bank", cells)

    refused("not a released perceptron", lambda m: m.pop("layers"))
    refused("not a released perceptron", lambda m: m["layers"][0]["weights"][0].__setitem__(0, 0.5))
    refused("not a released perceptron", lambda m: m["layers"][0]["weights"][0].__setitem__(0, 2**23 + 1))
    refused("not a released perceptron", lambda m: m["inputs"]["income"].__setitem__(0, 4000))
    refused("not a released perceptron", lambda m: m["layers"].__setitem__(slice(0, 2), []))
    refused("was edited", lambda m: m.__setitem__("activation", "relu"))
    refused("was edited", lambda m: m.__setitem__("more", 1))
    refused("was edited", lambda m: m["inputs"].pop("income"))
    refused("was edited", lambda m: m["inputs"]["income"].pop())
    refused("was edited", lambda m: m["layers"][0]["weights"].pop())
    refused("was edited", lambda m: m["layers"][-1].pop("biases"))
    with pytest.raises(ConfigError, match="not one of dictionary 'tiny'"):
        explain(json.loads(released), tiny.dictionary(), "bank", cells)
