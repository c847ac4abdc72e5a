"""A score with a peer's number: a card for each thickness of file, whose points still add up."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.models.points import BASE, points_table
from fedcredit.package.contents import FileTerms, JointView
from fedcredit.scoring.batch import Joined
from fedcredit.scoring.card import card_of
from fedcredit.scoring.joint import BlockScorer, JointScorer
from fedcredit.scoring.kernel import TableScorer
from fedcredit.scoring.reading import read_columns, reading_of
from tests import packages

THIN, THICK = FileTerms(intercept=205, slope=900, weight=930), FileTerms(intercept=-100, slope=1130, weight=0)
CONTRACT = parse_dictionary(
    packages.TEXT.replace(b"1: yes it is", b"1: 'yes it is'").replace(
        b"bank: {owns: [applicant, bank],", b"bank: {owns: [applicant, bank], thin_when_missing: [bill, late],"
    )
)
ROWS = 400


def view(**changes):
    said = {
        "files": {"thin": THIN, "thick": THICK},
        "source": "made up",
        "limit": 6,
        "view": "bank",
        "block": "hospital",
    }
    return JointView(**{**said, **changes})


def scored(joint=None):
    """Own scores, scores with numbers, the rows' files and the numbers; a third of the files are thin."""
    package = packages.package(2, joint or view(), CONTRACT)
    card = card_of(package, "bank")
    values = packages.odd_values(5, ROWS)
    thin = np.arange(ROWS) % 3 == 0
    for name in ("bill", "late"):
        values[name] = ["" if one else "1" for one in thin]
    table = pa.table({one.feature.name: values[one.feature.name] for one in card.features})
    columns, _ = read_columns(reading_of(card, None, table.column_names), table)
    generator = np.random.default_rng(8)
    numbers = np.where(generator.random(ROWS) < 0.6, generator.integers(-6, 7, ROWS).astype(float), np.nan)
    scorer = JointScorer(card, "hospital")
    return scorer, TableScorer(card).score(columns, ROWS), scorer.score(columns, numbers), thin, numbers, columns


def test_the_log_odds_are_intercept_slope_and_number_of_the_person_s_file():
    scorer, own, found, thin, numbers, _ = scored()
    there = ~np.isnan(numbers)
    for terms, rows in ((THIN, thin & there), (THICK, ~thin & there)):
        assert rows.sum() > 50
        exact = terms.intercept + (terms.slope * own.margins[rows] + terms.weight * 256 * numbers[rows]) / 1024
        # Every weight of the scaled card is rounded once, and so are the intercept and the number's part.
        assert np.abs(found.margins[rows] - exact).max() <= (len(scorer.card.features) + 2) / 2
    assert (found.margins[~there] == own.margins[~there]).all()
    assert (found.points[~there] == own.points[~there]).all()


def test_points_are_sums_of_a_points_table_of_their_own():
    scorer, _, found, thin, numbers, columns = scored()
    factor, offset = (getattr(scorer.card.package.head.scale.points_scale(), name) for name in ("factor", "offset"))
    # The mean over many rounded points is near the points of the exact log-odds.
    exact = offset - factor * found.margins / 1024
    assert np.abs(found.points - exact).max() <= (len(scorer.card.features) + 1) / 2
    reasons = found.reasons[thin & (numbers > 1)]
    assert (reasons == len(scorer.card.features) - 1).any()
    assert found.lost.dtype == np.int64
    assert len(columns) == len(scorer.card.features) - 1


def test_lambda_set_by_hand_leaves_the_own_view_s_points_as_they_are():
    half = FileTerms(weight=512)
    _, own, found, _, numbers, _ = scored(view(files={"thin": half, "thick": half}))
    there = ~np.isnan(numbers)
    assert (found.margins[there] - own.margins[there] == 128 * numbers[there]).all()
    added = np.rint(-20 / np.log(2) * numbers[there] / 8)
    assert (found.points[there] - own.points[there] == added).all()


def test_a_plain_points_table_is_that_of_slope_one():
    package = packages.package(2, view(files={"thin": FileTerms(weight=1), "thick": FileTerms(weight=1)}), CONTRACT)
    card = card_of(package, "bank")
    rows = points_table(package.model.to_json())
    assert card.base_points == next(row.points for row in rows if row.feature == BASE and row.label == "bank")
    scaled = JointScorer(card, "hospital")
    assert scaled.card.base_points == card.base_points
    assert [one.reference for one in scaled.card.features[:-1]] == [one.reference for one in card.features]


def test_nobody_is_asked_about_whose_score_would_not_change():
    scorer, _, _, thin, _, columns = scored()
    asked = []

    def ask(persons):
        asked.extend(persons)
        return np.ones(len(persons))

    names = [str(row).encode() for row in range(ROWS)]
    numbers = Joined(scorer, ask).numbers(columns, names)
    assert asked == [name for name, one in zip(names, thin, strict=True) if one]
    assert (~np.isnan(numbers) == thin).all()


def test_without_a_rule_every_file_is_thick():
    package = packages.package(2, view())
    scorer = JointScorer(card_of(package, "bank"), "hospital")
    assert not scorer.useful([None] * (len(scorer.card.features) - 1), 5).any()
    thin = JointScorer(card_of(packages.package(2, view(), CONTRACT), "bank"), "hospital")
    assert thin.useful([None] * (len(thin.card.features) - 1), 5).all()


def test_a_view_of_another_type_or_block_is_refused():
    package = packages.package(2, view(), CONTRACT)
    with pytest.raises(ConfigError, match="to the view of a bank, not bank to that of a hospital"):
        JointScorer(card_of(package, "hospital"), "bank")
    with pytest.raises(ConfigError, match="joint view is of block hospital, not applicant"):
        BlockScorer(package, "hospital", "applicant")
    other = replace(package, head=package.head.model_copy(update={"joint": None}))
    with pytest.raises(ConfigError, match="no joint view"):
        JointScorer(card_of(other, "bank"), "hospital")
