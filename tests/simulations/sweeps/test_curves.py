"""From rows to curves: what becomes an axis, what a series, and that means and spreads are over seeds alone."""

import statistics

import pytest

from simulations.sweeps.curves import DEALING, EPSILON, INSTITUTIONS, Row, axes_of, derived, dimensions, pictures
from simulations.sweeps.rows import row_of
from simulations.sweeps.store import SweepFolder


@pytest.fixture
def rows(make_sweep):
    def read(chosen) -> list[Row]:
        return derived([row_of(name, point) for name, point in SweepFolder(make_sweep(chosen)).points().items()])

    return read


def test_curves_over_epsilon_are_means_over_seeds(rows) -> None:
    found = rows({"privacy.placement": ["local", "distributed"], "privacy.epsilon": [1.0, 2.0, 4.0], "seed": [0, 1, 2]})
    assert [axis.column for axis in axes_of(found)] == [EPSILON]
    (picture,) = pictures(found, axes_of(found)[0], "auc")
    assert picture.where == {}
    assert list(picture.panels) == ["bank", "hospital"]
    curves = {curve.label: curve for curve in picture.panels["bank"]}
    assert list(curves) == ["distributed noise", "local noise", "pooled, no privacy", "alone, no privacy"]
    assert curves["local noise"].x == (1.0, 2.0, 4.0)
    assert curves["local noise"].mean[0] == pytest.approx(0.772 - 0.03 + 0.001)
    assert curves["local noise"].stddev[0] == pytest.approx(statistics.stdev([0, 0.001, 0.002]))
    assert picture.axis.logarithmic


def test_a_run_without_noise_is_a_level_of_its_own(rows) -> None:
    chosen = [{"privacy.epsilon": epsilon} for epsilon in (1.0, 4.0)]
    found = rows([*chosen, {"privacy.placement": "none", "privacy.epsilon": None}])
    (picture,) = pictures(found, axes_of(found)[0], "auc")
    level = next(curve for curve in picture.panels["bank"] if curve.flat)
    assert (level.label, level.mean) == ("joint, no noise", pytest.approx((0.772,)))


def test_dealings_stand_from_even_to_uneven(rows) -> None:
    dirichlet = [{"federation.split": "dirichlet", "federation.alpha": alpha} for alpha in (0.1, 10.0, 1.0)]
    by_column = {"federation.split": "column", "federation.split_column": "PAY_0"}
    found = rows([by_column, *dirichlet, {"federation.split": "iid"}])
    (axis,) = axes_of(found)
    assert axis.column == DEALING
    assert axis.ticks == ("iid", "Dirichlet α = 10", "Dirichlet α = 1", "Dirichlet α = 0.1", "by PAY_0")
    (picture,) = pictures(found, axis, "gain")
    (curve,) = picture.panels["bank"]
    assert curve.x == (0, 1, 2, 3, 4)
    assert curve.mean[3] == max(curve.mean)


def test_alpha_alone_is_a_number(rows) -> None:
    found = rows({"federation.split": ["dirichlet"], "federation.alpha": [0.1, 1.0]})
    assert [axis.column for axis in axes_of(found)] == ["settings.federation.alpha"]


def test_who_owns_which_columns_is_told(rows) -> None:
    found = rows({"data.source": ["uci_credit", "uci_credit_flat"]})
    assert {row[DEALING] for row in found} == {"iid, columns by type", "iid, all columns everywhere"}


def test_numbers_of_institutions_are_one_axis_unless_their_mix_differs(rows) -> None:
    alike = rows([{"federation.banks": n, "federation.hospitals": n} for n in (2, 5)])
    assert dimensions(alike) == [INSTITUTIONS]
    (axis,) = axes_of(alike)
    assert [curve.x for curve in pictures(alike, axis, "auc")[0].panels["bank"]] == [(4.0, 10.0)] * 3


def test_the_mix_of_institutions_is_told(rows) -> None:
    mixed = rows(
        [{"federation.banks": 4, "federation.hospitals": 2}, {"federation.banks": 2, "federation.hospitals": 4}]
    )
    assert dimensions(mixed) == ["settings.banks : hospitals"]


def test_further_settings_have_pictures_of_their_own(rows) -> None:
    found = rows(
        {"privacy.epsilon": [1.0, 2.0], "privacy.placement": ["local", "central"], "privacy.colluders": [1, 2]}
    )
    epsilon = axes_of(found)[0]
    where = [picture.where for picture in pictures(found, epsilon, "auc")]
    assert where == [{"settings.privacy.colluders": 1}, {"settings.privacy.colluders": 2}]


def test_one_setting_has_no_axis(rows) -> None:
    assert axes_of(rows({"seed": [0, 1]})) == []
