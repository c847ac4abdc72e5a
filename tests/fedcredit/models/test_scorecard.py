import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from fedcredit.data.rows import Rows, single
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.grid import quantise_codes, quantise_numbers
from fedcredit.models.family import family_of
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_model import decode
from fedcredit.models.scorecard_release import read_release
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.models.scorecard_start import reconcile
from fedcredit.preflight import Preflight
from fedcredit.wire.canonical import canonical_json

FAMILY = family_of("scorecard")


def fit(dictionary, rows, release_counts, spec=None, stddev=0.0, count_stddev=0.0, seed=0):
    """A whole training; `stddev` is the noise of one round on every owned coordinate."""
    spec = spec or ScorecardSpec()
    rng = np.random.default_rng(seed)
    owned = np.any([FAMILY.owned_coordinates(spec, dictionary, kind) for kind in rows], axis=0)
    noise = stddev * owned
    state = FAMILY.init(
        spec, dictionary, release_counts(dictionary, rows, count_stddev, seed), noise, np.zeros_like(noise)
    )
    for _ in range(spec.rounds):
        model = FAMILY.broadcast(state)
        exact = sum(FAMILY.contribute(spec, dictionary, kind, model, some).sum(axis=0) for kind, some in rows.items())
        drawn = spec.residual_scale * noise * rng.standard_normal(len(noise))
        state = FAMILY.update(state, exact + np.rint(drawn).astype(np.int64))
    return state


def auc(bad, score) -> float:
    ranks, n_bad = rankdata(score), int(bad.sum())
    return float((ranks[bad == 1].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * (len(bad) - n_bad)))


def both(make_rows, seed=0):
    return {"bank": make_rows("bank", [400, 500], seed), "hospital": make_rows("hospital", [300], seed + 1)}


def uci_cells(dictionary):
    table = load_uci()
    columns = []
    for feature in dictionary.features:
        values = table[feature.name].to_numpy()
        if feature.codes:
            place = {code: i for i, code in enumerate(feature.codes)}
            index = np.array([place.get(str(int(v)), -1) for v in values])
            columns.append(quantise_codes(index, len(feature.codes)))
        else:
            columns.append(quantise_numbers(values.astype(float), feature.cuts, *feature.range))
    return np.stack(columns, axis=1), table["default"].to_numpy().astype(np.uint8)


def without_order(dictionary):
    """scikit-learn knows no monotone constraint."""
    features = tuple(f.model_copy(update={"monotone": "none"}) for f in dictionary.features)
    return dictionary.model_copy(update={"features": features})


def test_without_noise_equals_scikit_learn_on_the_same_bins(release_counts):
    dictionary, spec = without_order(uci_dictionary(flat=True)), ScorecardSpec()
    cells, bad = uci_cells(dictionary)
    train, test = train_test_split(np.arange(len(bad)), train_size=6000, test_size=6000, random_state=0, stratify=bad)
    state = fit(dictionary, {"bank": single(cells[train], bad[train])}, release_counts, spec)
    model = FAMILY.final(state)
    ours = auc(bad[test], FAMILY.margins(spec, dictionary, "bank", model, cells[test]))

    bins = decode(spec, dictionary, model).bin_of_cell
    one_hot = np.concatenate([np.eye(b.max() + 1)[b[cells[:, j]]] for j, b in enumerate(bins)], axis=1)
    other = LogisticRegression(C=spec.prior_stddev**2, max_iter=2000, tol=1e-7).fit(one_hot[train], bad[train])
    theirs = auc(bad[test], other.decision_function(one_hot[test]))
    assert abs(ours - theirs) < 0.0005
    assert ours > 0.75


def test_noise_costs_little_of_the_signal_at_moderate_levels(dictionary, make_rows, release_counts):
    rows = both(make_rows)
    fresh = make_rows("bank", [4000], 9)
    exact, noisy = (fit(dictionary, rows, release_counts, stddev=s, count_stddev=s / 4) for s in (0.0, 20.0))
    found = [
        auc(fresh.bad, FAMILY.margins(s.spec, dictionary, "bank", FAMILY.final(s), fresh.cells)) for s in (exact, noisy)
    ]
    assert found[0] > 0.7
    assert found[0] - 0.05 < found[1] < found[0] + 0.02


def test_same_inputs_give_the_same_bytes(dictionary, make_rows, release_counts):
    for stddev in (0.0, 30.0):
        one, two = (fit(dictionary, both(make_rows), release_counts, stddev=stddev, seed=4) for _ in range(2))
        assert canonical_json(FAMILY.release(one)) == canonical_json(FAMILY.release(two))
        assert FAMILY.final(one) == FAMILY.final(two)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), stddev=st.sampled_from([0.0, 50.0, 1e4]))
def test_declared_order_holds_in_what_is_released(dictionary, make_rows, release_counts, seed, stddev):
    state = fit(dictionary, both(make_rows), release_counts, ScorecardSpec(rounds=4), stddev, stddev, seed)
    model = decode(state.spec, dictionary, FAMILY.final(state))
    for feature, slots, bins in zip(dictionary.features, state.layout.slots, model.bin_of_cell, strict=True):
        steps = np.diff(model.weights[slots][bins[:-1]])
        if feature.monotone == "increasing":
            assert np.all(steps >= 0)
        elif feature.monotone == "decreasing":
            assert np.all(steps <= 0)


@pytest.mark.parametrize("stddev", [0.0, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("bad", [0, 1])
def test_one_class_only(dictionary, make_rows, release_counts, stddev, bad):
    rows = make_rows("bank", [40])
    only = {"bank": Rows(rows.cells, np.full(40, bad, np.uint8), rows.offsets)}
    state = fit(dictionary, only, release_counts, stddev=stddev, count_stddev=stddev)
    assert decode(state.spec, dictionary, FAMILY.final(state)).encode() == FAMILY.final(state)
    assert np.isfinite(state.weights).all()
    if stddev == 0:
        intercept = state.fitted.weights[state.layout.first_intercept]
        assert intercept > 1024 if bad else intercept < -1024


@pytest.mark.parametrize("stddev", [0.0, 100.0])
def test_all_values_missing(dictionary, release_counts, stddev):
    missing = np.array([f.missing_cell for f in dictionary.owned_features("bank")], dtype=np.uint16)
    bad = np.array([0, 1, 0, 0] * 25, dtype=np.uint8)
    state = fit(dictionary, {"bank": single(np.tile(missing, (100, 1)), bad)}, release_counts, stddev=stddev)
    assert np.isfinite(state.weights).all()
    if stddev == 0:
        score = FAMILY.margins(state.spec, dictionary, "bank", FAMILY.final(state), missing[None])[0] / 1024
        assert score == pytest.approx(np.log(25 / 75), abs=0.05)


@pytest.mark.parametrize("stddev", [0.0, 100.0])
def test_an_institution_without_records(dictionary, release_counts, stddev):
    none = single(np.zeros((0, 3), np.uint16), np.zeros(0, np.uint8))
    state = fit(dictionary, {"bank": none}, release_counts, stddev=stddev, count_stddev=stddev)
    assert np.isfinite(state.weights).all()
    read_release(FAMILY.release(state))


def test_a_type_without_institutions_keeps_its_start(dictionary, make_rows, release_counts):
    state = fit(dictionary, {"bank": make_rows("bank", [500])}, release_counts, stddev=10.0, count_stddev=2.0)
    own_to_hospitals = dictionary.feature_names.index("paid")
    assert not state.weights[state.layout.slots[own_to_hospitals]].any()


def test_intercepts_follow_their_own_type(dictionary, make_rows, release_counts):
    rows = both(make_rows)
    bad = np.zeros_like(rows["hospital"].bad)
    bad[:30] = 1
    rows["hospital"] = Rows(rows["hospital"].cells, bad, rows["hospital"].offsets)
    for stddev in (0.0, 1.0):
        state = fit(dictionary, rows, release_counts, stddev=stddev)
        for kind, some in rows.items():
            score = FAMILY.margins(state.spec, dictionary, kind, FAMILY.final(state), some.cells) / 1024
            assert (1 / (1 + np.exp(-score))).mean() == pytest.approx(some.bad.mean(), abs=0.03)


def test_only_the_second_half_is_averaged(dictionary, make_rows, release_counts):
    state = fit(dictionary, both(make_rows), release_counts, ScorecardSpec(rounds=7), stddev=10.0)
    assert state.tail_rounds == 4
    exact = fit(dictionary, both(make_rows), release_counts, ScorecardSpec(rounds=7))
    assert exact.tail_rounds == 0


def test_features_of_the_same_owners_agree_on_their_totals(dictionary, make_rows, release_counts):
    rows, plan = both(make_rows), layout(16, dictionary)
    exact = release_counts(dictionary, rows)
    raw, better = [], []
    for seed in range(200):
        noisy = release_counts(dictionary, rows, 50.0, seed)
        adjusted = reconcile(plan, noisy)
        np.testing.assert_allclose(adjusted[0].sum(axis=0), adjusted[1].sum(axis=0))
        raw.append([np.abs(a - b).mean() for a, b in zip(noisy.counts, exact.counts, strict=True)])
        better.append([np.abs(a - b).mean() for a, b in zip(adjusted, exact.counts, strict=True)])
    assert np.mean(better) < np.mean(raw)
    same = reconcile(plan, Preflight(exact.counts, exact.noise_stddev))
    assert all(a is b for a, b in zip(same, exact.counts, strict=True))


def test_release_reads_back(dictionary, make_rows, release_counts):
    released = FAMILY.release(fit(dictionary, both(make_rows), release_counts))
    scorecard = read_release(released)
    assert scorecard.to_json() == released
    assert [f.name for f in scorecard.features] == list(dictionary.feature_names)
    for feature, described in zip(dictionary.features, scorecard.features, strict=True):
        assert sorted(cell for one in described.bins for cell in one.cells) == list(range(feature.n_cells))
