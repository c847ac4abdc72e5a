import numpy as np
import pytest

from fedcredit.models.additive_inputs import network_inputs
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.round_sums import used_slots
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_start import prepare


@pytest.fixture(scope="module")
def made(dictionary, make_rows, release_counts):
    rows = {"bank": make_rows("bank", [900]), "hospital": make_rows("hospital", [900], 1)}
    start = prepare(AdditiveSpec(), dictionary, release_counts(dictionary, rows))
    used = used_slots(layout(16, dictionary), start.counts)
    found = network_inputs(dictionary, start, used)
    return {f.name: pair for f, pair in zip(dictionary.features, zip(start.bins, found, strict=True), strict=True)}


def test_categories_have_offsets_only(made):
    _, one = made["housing"]
    assert not one.ordered.any()
    assert one.own == tuple(range(len(one.start)))


def test_a_number_is_read_by_rank_and_missing_values_stand_apart(made):
    bins, one = made["paid"]
    n_values = int(bins[:-1].max()) + 1
    assert bins[-1] == n_values
    np.testing.assert_allclose(one.position[:n_values], (2 * np.arange(n_values) + 1) / n_values - 1)
    assert one.ordered.tolist() == [1.0] * n_values + [0.0]
    assert one.own == (n_values,)
    assert one.direction == 0


def test_an_atom_has_an_offset_unless_an_order_is_declared(dictionary, make_rows, release_counts):
    rows = {"bank": make_rows("bank", [900]), "hospital": make_rows("hospital", [900], 1)}
    own = {}
    for monotone in ("none", "decreasing"):
        features = tuple(
            f.model_copy(update={"monotone": monotone}) if f.name == "income" else f for f in dictionary.features
        )
        changed = dictionary.model_copy(update={"features": features})
        start = prepare(AdditiveSpec(), changed, release_counts(changed, rows))
        assert (start.bins[0] == 0).sum() == 1  # the first cell is the atom 0
        own[monotone] = network_inputs(changed, start, used_slots(layout(16, changed), start.counts))[0].own
    assert own["none"] == (0, *own["decreasing"])


def test_a_declared_order_holds_from_the_start(made):
    for name, direction in (("income", -1), ("delay", 1)):
        bins, one = made[name]
        assert one.direction == direction
        assert np.all(direction * np.diff(one.start[: int(bins[:-1].max()) + 1]) >= 0)


def test_shares_add_up(made):
    for _, one in made.values():
        assert one.share.sum() == pytest.approx(1)
        assert (one.share > 0).all()
