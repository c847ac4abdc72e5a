"""Groupings of phase evaluate: types, features, group labels and products of two, one cell each per record."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.rows import single
from fedcredit.errors import ConfigError
from fedcredit.evaluation import phase
from fedcredit.plan import EvaluationTerms
from fedcredit.terms import COUNT_SCALE, derive
from fedcredit.wire.messages import Role
from tests import labelled, tiny
from tests.privacy_checks import models

BINS = 10


def terms(*groupings):
    return EvaluationTerms(score_bins=BINS, groupings=("type", *groupings))


@pytest.fixture(scope="module")
def scored():
    return models(labelled.federation(), labelled.job())[Role.EVALUATE]


def counts(scored, rows, *groupings, kind="bank"):
    evaluation, dictionary = terms(*groupings), labelled.dictionary()
    sums = phase.count(tiny.spec().model, dictionary, evaluation, kind, scored, rows)[0]
    return phase.read_release(dictionary, evaluation, sums, 1)


def test_a_product_is_the_table_of_both_labels(scored):
    rows = tiny.rows("bank", 200, 5)
    labels = labelled.labels(200, 6)
    rows = single(rows.cells, rows.bad, groups=labels)
    found = counts(scored, rows, "sex", "region", "sex*region", "region*age")
    for sex in range(3):
        for region in range(4):
            here = (labels[:, 0] == sex) & (labels[:, 1] == region)
            both = found["sex*region"][sex * 4 + region]
            assert both[1].sum() == rows.bad[here].sum()
            assert both.sum() == here.sum()
    np.testing.assert_array_equal(found["sex*region"].reshape(3, 4, 2, BINS).sum(axis=1), found["sex"])
    np.testing.assert_array_equal(found["sex*region"].reshape(3, 4, 2, BINS).sum(axis=0), found["region"])
    assert found["region*age"].sum() == 200
    assert found["type"].sum() == 200


def test_whoever_holds_no_labels_counts_among_the_missing_and_who_owns_none_nowhere(scored):
    rows = tiny.rows("bank", 50, 5)
    found = counts(scored, rows, "sex", "sex*region")
    assert found["sex"].sum(axis=(1, 2)).tolist() == [0, 0, 50]
    assert found["sex*region"].sum(axis=(1, 2))[-1] == 50
    hospital = counts(scored, tiny.rows("hospital", 50, 5), "sex", "sex*age", "age", kind="hospital")
    assert hospital["sex"].sum() == hospital["sex*age"].sum() == 0
    assert hospital["age"].sum() == 50
    owned = phase.owned_coordinates(labelled.dictionary(), terms("sex", "sex*age"), "hospital")
    assert owned.sum() == 2 * BINS  # its own type's


@pytest.mark.parametrize(
    ("grouping", "words"),
    [
        ("hair", "'hair'"),
        ("sex*hair", "'hair'"),
        ("sex*sex", "two different labels"),
        ("sex*region*age", "two different labels"),
        ("sex*type", "'type' is neither"),
        ("status*age", "cells, more than 64"),
    ],
)
def test_a_grouping_that_is_none_is_refused(grouping, words):
    with pytest.raises(ConfigError, match=words):
        phase.group_sizes(labelled.dictionary(), terms(grouping))


@settings(max_examples=20)
@given(data=st.data())
def test_a_record_changes_the_histogram_by_root_g_whatever_its_labels(scored, data):
    groupings = data.draw(st.lists(st.sampled_from(["sex", "region", "age", "sex*region"]), unique=True))
    dictionary, evaluation = labelled.dictionary(), terms(*groupings)
    n = data.draw(st.integers(1, 4))
    rows = tiny.rows("bank", n, data.draw(st.integers(0, 99)))
    labels = np.array(
        data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=n, max_size=n)), dtype=np.uint16
    )
    all_rows, fewer = (
        single(rows.cells, rows.bad, groups=labels),
        single(rows.cells[1:], rows.bad[1:], groups=labels[1:]),
    )
    model = tiny.spec().model
    left, right = (phase.count(model, dictionary, evaluation, "bank", scored, one) for one in (all_rows, fewer))
    stated = derive(dictionary, model, evaluation, 1)[Role.EVALUATE].sensitivity_squared["bank"]
    assert ((left - right) * COUNT_SCALE).astype(object).__pow__(2).sum() == stated
