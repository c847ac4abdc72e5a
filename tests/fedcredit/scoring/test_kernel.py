"""Scores of a table, one by one and by the older code for explanations: the same integers, and they add up."""

import math

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.quantise import feature_column
from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.errors import DataError
from fedcredit.models.contributions import explain
from fedcredit.models.points import BASE, points_table
from fedcredit.scoring import kernel
from fedcredit.scoring.card import card_of
from fedcredit.scoring.kernel import NO_REASON, TableScorer
from fedcredit.scoring.reading import read_columns, reading_of
from fedcredit.scoring.single import SingleScorer, code_text
from tests import packages

ROWS = 300


@pytest.fixture(params=[0, 1, 2])
def seed(request):
    return request.param


@pytest.fixture(params=["bank", "hospital"])
def card(request, seed):
    return card_of(packages.package(seed), request.param)


def scored(card, values, mapping=None):
    table = pa.table(values)
    reading = reading_of(card, mapping, table.column_names)
    columns, flags = read_columns(reading, table)
    return TableScorer(card).score(columns, table.num_rows), flags


def texts(card, seed, n=ROWS):
    values = packages.odd_values(seed, n)
    return {one.feature.name: values[one.feature.name] for one in card.features}


def test_a_table_scores_as_its_rows_do(card, seed, monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK_ROWS", 64)
    values = texts(card, seed)
    found, flags = scored(card, values)
    single = SingleScorer(card)
    of_row = {row: {label for label, rows in flags if row in set(rows.tolist())} for row in range(ROWS)}
    assert any(of_row.values())
    for row in range(ROWS):
        score = single.score({name: column[row] for name, column in values.items()})
        assert (found.margins[row], found.points[row]) == (score.margin, score.points)
        assert found.pd[row] == pytest.approx(score.pd, rel=1e-14)
        assert of_row[row] == set(score.flags)
        reasons = [
            (card.features[j].feature.name, lost)
            for j, lost in zip(found.reasons[row].tolist(), found.lost[row].tolist(), strict=True)
            if j != NO_REASON
        ]
        assert reasons == [(one.feature, one.points_lost) for one in single.reasons(score)]


def test_scores_are_those_of_the_points_table_and_of_explain(card, seed):
    """A third way, from modules that know nothing of scoring: cells, the points table by label, the model's logits."""
    values, package = texts(card, seed), card.package
    found, _ = scored(card, values)
    mapping, table = identity_mapping(package.dictionary, card.view), pa.table(values)
    cells = np.column_stack([feature_column(o.feature, mapping.features[o.feature.name], table) for o in card.features])
    rows = points_table(package.model.to_json())
    base = next(row.points for row in rows if (row.feature, row.label) == (BASE, card.view))
    by_name = {feature.name: feature for feature in package.model.features}
    points = np.full(ROWS, base)
    for column, one in enumerate(card.features):
        of_bin = [row.points for row in rows if row.feature == one.feature.name]
        of_cell = {cell: of_bin[b] for b, part in enumerate(by_name[one.feature.name].bins) for cell in part.cells}
        points += np.array([of_cell[cell] for cell in cells[:, column].tolist()])
    np.testing.assert_array_equal(found.points, points)
    logits = explain(package.model.to_json(), package.dictionary, card.view, cells).scores
    np.testing.assert_allclose(found.margins / 1024, logits, atol=1e-9)


def test_reasons_and_reference_give_the_points_exactly(card, seed):
    single, values = SingleScorer(card), texts(card, seed)
    for row in range(ROWS):
        score = single.score({name: column[row] for name, column in values.items()})
        assert card.reference - sum(score.lost) == score.points
        listed = single.reasons(score, most=len(card.features))
        assert sum(one.points_lost for one in listed) == sum(max(lost, 0) for lost in score.lost)


def test_a_block_that_is_not_there_contributes_nothing_and_is_named(card, seed):
    block = card.blocks[-1]
    values = {o.feature.name: texts(card, seed)[o.feature.name] for o in card.features if o.feature.block != block}
    found, flags = scored(card, values)
    assert (f"block:{block}", ROWS) in [(label, len(rows)) for label, rows in flags]
    for row in range(40):
        score = SingleScorer(card).score({name: column[row] for name, column in values.items()})
        own = [lost for lost, one in zip(score.lost, card.features, strict=True) if one.feature.block == block]
        assert own == [0] * len(own)
        assert f"block:{block}" in score.flags
        assert (found.margins[row], found.points[row]) == (score.margin, score.points)


@pytest.mark.parametrize("view", ["bank", "hospital"])
def test_numbers_and_texts_of_a_value_score_alike(view):
    card = card_of(packages.package(), view)
    numeric = [one.feature for one in card.features if one.feature.range]
    generator = np.random.default_rng(3)
    numbers = {f.name: np.rint(generator.uniform(f.range[0] - 3, f.range[1] + 3, 200)) for f in numeric}
    numbers[numeric[0].name][::7] = np.nan
    written = {name: [None if math.isnan(x) else str(int(x)) for x in column] for name, column in numbers.items()}
    homes = [one.feature for one in card.features if one.feature.range is None]
    codes = {f.name: [f.codes[i % len(f.codes)] for i in range(200)] for f in homes}
    (a, flags_a), (b, flags_b) = scored(card, {**numbers, **codes}), scored(card, {**written, **codes})
    np.testing.assert_array_equal(a.points, b.points)
    assert [(label, rows.tolist()) for label, rows in flags_a] == [(label, rows.tolist()) for label, rows in flags_b]


def test_infinity_and_not_a_number_are_missing_and_only_one_is_odd():
    card = card_of(packages.package(), "bank")
    values = {"age": 30.0, "home": "own", "bill": math.nan, "late": 1.0, "same": 0.5}
    single = SingleScorer(card)
    assert single.score(values).flags == ()
    assert single.score({**values, "bill": math.inf}).flags == ("text:bill",)
    assert single.score(values).points == single.score({**values, "bill": math.inf}).points
    table = {name: [value] for name, value in values.items()}
    assert [label for label, _ in scored(card, {**table, "bill": [-math.inf]})[1]] == ["text:bill"]
    assert scored(card, table)[1] == []


def test_a_stranger_s_feature_is_refused():
    with pytest.raises(DataError, match="'paid' is no feature of a bank"):
        SingleScorer(card_of(packages.package(), "bank")).score({"age": 30.0, "paid": 1.0})


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (" +1.00 ", "1"), ("-0", "0"), ("007", "007"), ("a b", "a b"), (0.5, "0.5")]
)
def test_a_code_has_one_spelling(value, text):
    assert code_text(value) == text
