import math

import pytest

from fedcredit.errors import ConfigError
from fedcredit.models.bin_labels import bin_label
from fedcredit.models.points import BASE, PointsScale, points_table
from fedcredit.models.scorecard_release import Scorecard, ScorecardBin, ScorecardFeature


def scorecard(weights=(512, -512), intercepts=None):
    bins = tuple(
        ScorecardBin(label=str(i), cells=(i,), good=1, bad=1, woe=0, iv=0, weight=w) for i, w in enumerate(weights)
    )
    return Scorecard(
        intercepts=intercepts or {"bank": 0, "hospital": -1024},
        views={"bank": ("x",), "hospital": ("x",)},
        features=(ScorecardFeature(name="x", block="applicant", iv=0, bins=bins),),
    ).to_json()


def test_the_scale_is_siddiqi_s():
    scale = PointsScale()
    assert scale.offset + scale.factor * math.log(50) == pytest.approx(600)
    assert scale.offset + scale.factor * math.log(100) == pytest.approx(620)


def test_a_score_is_its_base_plus_its_bins():
    rows = points_table(scorecard())
    assert [(r.feature, r.label) for r in rows] == [(BASE, "bank"), (BASE, "hospital"), ("x", "0"), ("x", "1")]
    factor = 20 / math.log(2)
    assert rows[0].points == round(600 - factor * math.log(50))
    assert rows[1].points - rows[0].points == pytest.approx(factor, abs=1)
    assert rows[2].points == -rows[3].points == -round(factor / 2)
    assert "600 points" in rows[0].scale_sentence


def test_other_families_have_no_points():
    assert points_table({"family": "mlp"}) == ()


def test_a_damaged_scorecard_is_refused():
    with pytest.raises(ConfigError, match="not a released scorecard"):
        points_table(scorecard() | {"features": 3})


@pytest.mark.parametrize("change", [{"base_odds": 0}, {"points_to_double_odds": -1}, {"base_score": math.nan}])
def test_an_impossible_scale_is_refused(change):
    with pytest.raises(ConfigError, match="points scale"):
        PointsScale(**change)


@pytest.mark.parametrize(
    ("feature", "cells", "label"),
    [
        ("income", (0,), "0 or less"),
        ("income", (1, 2), "above 0 to < 400"),
        ("income", (4, 5), "600 or more"),
        ("income", (0, 1, 2, 3, 4, 5), "any value"),
        ("income", (4, 5, 6), "600 or more, missing"),
        ("delay", (0, 1), "1 or less"),
        ("delay", (2, 3), "2 to 3"),
        ("housing", (0, 2), "owner, other"),
        ("housing", (3,), "missing"),
    ],
)
def test_bins_in_words(dictionary, feature, cells, label):
    chosen = dictionary.features[dictionary.feature_names.index(feature)]
    assert bin_label(chosen, cells) == label
