import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.contributions import Contributions, Reason, contributions, top_reasons
from fedcredit.models.family import family_of
from fedcredit.models.scorecard_spec import ScorecardSpec

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
    found = contributions(family.release(state), "bank", rows.cells)
    exact = family.margins(spec, dictionary, "bank", family.final(state), rows.cells) / 1024
    np.testing.assert_allclose(found.scores, exact, atol=1e-12)
    assert found.features == tuple(f.name for f in dictionary.owned_features("bank"))


@SPECS
def test_over_the_counted_population_they_cancel(fitted, spec):
    make, rows = fitted
    found = contributions(family_of(spec.family).release(make(spec)), "bank", rows.cells)
    np.testing.assert_allclose(found.values.mean(axis=0), 0, atol=1e-12)
    assert found.values.std(axis=0).max() > 0.1


def test_a_view_reads_its_own_features(dictionary, fitted, make_rows):
    make, _ = fitted
    released, cells = family_of("additive").release(make(AdditiveSpec(rounds=3))), make_rows("hospital", [20]).cells
    assert contributions(released, "hospital", cells).features == ("income", "housing", "paid")


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


def test_what_does_not_fit_is_refused(fitted):
    make, rows = fitted
    released = family_of("additive").release(make(AdditiveSpec(rounds=3)))
    with pytest.raises(ConfigError, match="family 'mlp'"):
        contributions({"family": "mlp"}, "bank", rows.cells)
    with pytest.raises(ConfigError, match="not of 'insurer'"):
        contributions(released, "insurer", rows.cells)
    with pytest.raises(ConfigError, match=r"need shape \(n, 3\)"):
        contributions(released, "bank", rows.cells[:, :2])
    with pytest.raises(ConfigError, match="income has 7 cells"):
        contributions(released, "bank", np.full((1, 3), 200, np.uint16))
