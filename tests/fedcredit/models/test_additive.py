import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fedcredit.data.rows import Rows, single
from fedcredit.models.additive_network import values
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.family import family_of
from fedcredit.models.points import points_table
from fedcredit.models.scorecard_model import decode
from fedcredit.models.scorecard_release import AdditiveTable, read_release
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, ScorecardSpec
from fedcredit.wire.canonical import canonical_json

ADDITIVE, SCORECARD = family_of("additive"), family_of("scorecard")


def fit(dictionary, rows, release_counts, spec=None, stddev=0.0, count_stddev=0.0, seed=0, seen=None):
    """A whole training; `stddev` is the noise of one round on every owned coordinate, `seen` collects the states."""
    spec = spec or AdditiveSpec()
    family, rng = family_of(spec.family), np.random.default_rng(seed)
    owned = np.any([family.owned_coordinates(spec, dictionary, kind) for kind in rows], axis=0)
    noise = stddev * owned
    state = family.init(
        spec, dictionary, release_counts(dictionary, rows, count_stddev, seed), noise, np.zeros_like(noise)
    )
    for _ in range(spec.rounds):
        model = family.broadcast(state)
        exact = sum(family.contribute(spec, dictionary, kind, model, some).sum(axis=0) for kind, some in rows.items())
        drawn = spec.residual_scale * noise * rng.standard_normal(len(noise))
        state = family.update(state, exact + np.rint(drawn).astype(np.int64))
        if seen is not None:
            seen.append(state)
    return state


def both(make_rows, seed=0):
    return {"bank": make_rows("bank", [400, 500], seed), "hospital": make_rows("hospital", [300], seed + 1)}


def auc(dictionary, state, rows, kind="bank"):
    family = family_of(state.spec.family)
    return roc_auc_score(rows.bad, family.margins(state.spec, dictionary, kind, family.final(state), rows.cells))


def penalised_loss(dictionary, state, rows):
    """Log loss of the released table over all records, with the ridge around each feature's mean."""
    family, model = family_of(state.spec.family), decode(state.spec, dictionary, state.fitted.encode())
    loss = 0.0
    for kind, some in rows.items():
        score = family.margins(state.spec, dictionary, kind, family.final(state), some.cells) / 1024
        loss += float((np.logaddexp(0, score) - some.bad * score).sum())
    for slots, bins in zip(state.layout.slots, model.bin_of_cell, strict=True):
        weights = model.weights[slots][: bins.max() + 1] / 1024
        loss += ((weights - weights.mean()) ** 2).sum() / (2 * state.spec.prior_stddev**2)
    return loss


@given(kind=st.sampled_from(["bank", "hospital"]), seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_custodians_do_what_they_do_for_a_scorecard(dictionary, make_rows, release_counts, kind, seed):
    spec, twin = AdditiveSpec(), ScorecardSpec()
    rows = make_rows(kind, [30, 20], seed)
    noise = np.ones(ADDITIVE.terms(spec, dictionary).vector_length)
    model = ADDITIVE.broadcast(
        ADDITIVE.init(spec, dictionary, release_counts(dictionary, {kind: rows}, 1.0), noise, noise)
    )
    assert ADDITIVE.terms(spec, dictionary) == SCORECARD.terms(twin, dictionary)
    for question in ("contribute", "margins"):
        found, other = getattr(ADDITIVE, question), getattr(SCORECARD, question)
        asked = rows if question == "contribute" else rows.cells
        np.testing.assert_array_equal(
            found(spec, dictionary, kind, model, asked), other(twin, dictionary, kind, model, asked)
        )
    np.testing.assert_array_equal(
        ADDITIVE.owned_coordinates(spec, dictionary, kind), SCORECARD.owned_coordinates(twin, dictionary, kind)
    )


def test_without_noise_it_comes_close_to_the_best_table(dictionary, make_rows, release_counts):
    """A network cannot lose to a table by much, nor beat it: the table's loss is the least there is."""
    free = tuple(f.model_copy(update={"monotone": "none"}) for f in dictionary.features)
    dictionary = dictionary.model_copy(update={"features": free})
    rows = both(make_rows)
    best = penalised_loss(dictionary, fit(dictionary, rows, release_counts, ScorecardSpec(rounds=40)), rows)
    first = penalised_loss(dictionary, fit(dictionary, rows, release_counts, AdditiveSpec(rounds=1)), rows)
    last = penalised_loss(dictionary, fit(dictionary, rows, release_counts, AdditiveSpec(rounds=40)), rows)
    assert best - 0.05 < last < best + 0.02 * (first - best)


def test_noise_costs_little_of_the_signal_at_moderate_levels(dictionary, make_rows, release_counts):
    rows, fresh = both(make_rows), make_rows("bank", [4000], 9)
    exact, noisy = (
        auc(dictionary, fit(dictionary, rows, release_counts, stddev=s, count_stddev=s / 4), fresh) for s in (0.0, 20.0)
    )
    assert exact > 0.7
    assert exact - 0.05 < noisy < exact + 0.02


def test_rounds_correct_what_the_counts_suggest(dictionary, make_rows, release_counts):
    rows = {"bank": make_rows("bank", [3000])}
    no_noise = np.zeros(ADDITIVE.terms(AdditiveSpec(), dictionary).vector_length)
    start = ADDITIVE.init(AdditiveSpec(), dictionary, release_counts(dictionary, rows), no_noise, no_noise)
    trained = fit(dictionary, rows, release_counts, stddev=2.0)
    assert penalised_loss(dictionary, trained, rows) < penalised_loss(dictionary, start, rows) - 10


def test_same_inputs_give_the_same_bytes(dictionary, make_rows, release_counts):
    for stddev in (0.0, 30.0):
        one, two = (fit(dictionary, both(make_rows), release_counts, stddev=stddev, seed=4) for _ in range(2))
        assert canonical_json(ADDITIVE.release(one)) == canonical_json(ADDITIVE.release(two))
        assert ADDITIVE.final(one) == ADDITIVE.final(two)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), stddev=st.sampled_from([0.0, 50.0, 1e4]))
def test_declared_order_holds_in_every_table(dictionary, make_rows, release_counts, seed, stddev):
    states = []
    spec = AdditiveSpec(rounds=4)
    fit(dictionary, both(make_rows), release_counts, spec, stddev, stddev, seed, states)
    signs = {"none": 0, "increasing": 1, "decreasing": -1}
    for model in (
        decode(spec, dictionary, data) for s in states for data in (ADDITIVE.broadcast(s), ADDITIVE.final(s))
    ):
        for feature, slots, bins in zip(dictionary.features, states[0].layout.slots, model.bin_of_cell, strict=True):
            assert np.all(signs[feature.monotone] * np.diff(model.weights[slots][bins[:-1]]) >= 0)


@pytest.mark.parametrize("stddev", [0.0, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("bad", [0, 1])
def test_one_class_only(dictionary, make_rows, release_counts, stddev, bad):
    rows = make_rows("bank", [40])
    only = {"bank": Rows(rows.cells, np.full(40, bad, np.uint8), rows.offsets)}
    state = fit(dictionary, only, release_counts, stddev=stddev, count_stddev=stddev)
    assert decode(state.spec, dictionary, ADDITIVE.final(state)).encode() == ADDITIVE.final(state)
    assert np.abs(state.weights).max() <= MARGIN_LIMIT / 1024
    if stddev == 0:
        intercept = state.fitted.weights[state.layout.first_intercept]
        assert intercept > 1024 if bad else intercept < -1024


@pytest.mark.parametrize("stddev", [0.0, 100.0])
def test_an_institution_without_records(dictionary, release_counts, stddev):
    none = single(np.zeros((0, 3), np.uint16), np.zeros(0, np.uint8))
    state = fit(dictionary, {"bank": none}, release_counts, stddev=stddev, count_stddev=stddev)
    assert np.isfinite(state.weights).all()
    read_release(ADDITIVE.release(state))


def test_a_type_without_institutions_keeps_its_start(dictionary, make_rows, release_counts):
    state = fit(dictionary, {"bank": make_rows("bank", [500])}, release_counts, stddev=10.0, count_stddev=2.0)
    own_to_hospitals = dictionary.feature_names.index("paid")
    assert not state.weights[state.layout.slots[own_to_hospitals]].any()


def test_the_second_half_s_values_are_averaged(dictionary, make_rows, release_counts):
    states = []
    last = fit(dictionary, both(make_rows), release_counts, AdditiveSpec(rounds=7), stddev=10.0, seen=states)
    assert last.tail_rounds == 4
    tables = [state.weights.copy() for state in states[3:]]
    for state, table in zip(states[3:], tables, strict=True):
        for slots, inputs, network in zip(state.used, state.inputs, state.networks, strict=True):
            np.testing.assert_allclose(values(inputs, network), table[slots], atol=0.5 / 1024 + 1e-12)
    np.testing.assert_array_equal(last.fitted.weights, np.rint(1024 * np.mean(tables, axis=0)))


def test_release_reads_back_and_has_points(dictionary, make_rows, release_counts):
    released = ADDITIVE.release(fit(dictionary, both(make_rows), release_counts))
    table = read_release(released)
    assert isinstance(table, AdditiveTable)
    assert table.to_json() == released
    rows = points_table(released)
    assert len(rows) == len(dictionary.kinds) + sum(len(feature.bins) for feature in table.features)
