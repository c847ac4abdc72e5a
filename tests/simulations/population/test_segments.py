import csv
import io
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from simulations.population.segment_drawings import segment_drawings
from simulations.population.segment_files import segments_csv, segments_json
from simulations.population.segments import approved_at, figures_by_segment

GENERATOR = np.random.Generator(np.random.Philox(key=7))
TRUTH = GENERATOR.beta(1.0, 8.0, size=4000)
LABELS = (GENERATOR.random(4000) < TRUTH).astype(np.uint8)
NOISY = np.clip(TRUTH * np.exp(GENERATOR.normal(0.0, 1.0, size=4000)), 1e-6, 0.999)
RURAL = GENERATOR.random(4000) < 0.3
SEGMENTS = {"all": np.ones(4000, dtype=np.bool_), "rural": RURAL, "nobody": np.zeros(4000, dtype=np.bool_)}


@pytest.fixture(scope="module")
def figures():
    return figures_by_segment({"noisy": NOISY, "truth": TRUTH}, SEGMENTS, LABELS, TRUTH, reference="noisy")


def of(figures, model, segment):
    return next(one for one in figures if (one.model, one.segment) == (model, segment))


def test_auc_is_that_of_the_segment(figures) -> None:
    assert of(figures, "noisy", "rural").auc == pytest.approx(roc_auc_score(LABELS[RURAL], NOISY[RURAL]))
    assert of(figures, "truth", "all").auc == of(figures, "noisy", "all").auc_truth


def test_a_better_model_approves_more_at_the_same_bad_rate(figures) -> None:
    assert of(figures, "noisy", "all").approval == pytest.approx(0.75, abs=0.01)
    assert of(figures, "truth", "all").approval > 0.8


def test_the_ratio_compares_a_segment_with_everybody_outside(figures) -> None:
    found = of(figures, "truth", "rural")
    inside, everybody = found.approval, of(figures, "truth", "all").approval
    outside = (everybody - inside * RURAL.mean()) / (1 - RURAL.mean())
    assert found.approval_ratio == pytest.approx(inside / outside)
    assert of(figures, "truth", "all").approval_ratio is None


def test_distance_is_from_the_true_probability(figures) -> None:
    assert of(figures, "truth", "all").distance == 0.0
    assert of(figures, "noisy", "all").distance == pytest.approx(np.sqrt(np.mean((NOISY - TRUTH) ** 2)))


def test_a_gain_is_over_the_reference_on_the_same_customers(figures) -> None:
    found = of(figures, "truth", "rural")
    assert found.auc_gain.value == pytest.approx(found.auc - of(figures, "noisy", "rural").auc)
    assert 0 < found.auc_gain.sampling_stddev < 0.1
    assert of(figures, "noisy", "rural").auc_gain is None


def test_an_empty_segment_is_left_out(figures) -> None:
    assert "nobody" not in {one.segment for one in figures}


def test_no_more_are_approved_than_the_bad_rate_allows() -> None:
    approved = approved_at(NOISY, LABELS, 0.05)
    assert LABELS[approved].mean() <= 0.05
    following = np.flatnonzero(approved_at(NOISY, LABELS, 0.06))
    assert following.size > approved.sum()


def test_equal_scores_are_approved_together_or_not_at_all() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0], dtype=np.uint8)
    pd = np.array([0.1, 0.1, 0.2, 0.3, 0.3, 0.3])
    assert approved_at(pd, labels, 0.3).tolist() == [True, True, True, False, False, False]
    assert not approved_at(pd, 1 - labels, 0.1).any()


def test_every_file_says_synthetic(figures) -> None:
    read = json.loads(segments_json(figures))
    assert "SYNTHETIC" in read["synthetic"]
    assert len(read["figures"]) == len(figures)
    rows = list(csv.DictReader(io.StringIO(segments_csv(figures))))
    assert {row["data"] for row in rows} == {"SYNTHETIC"}
    assert [row["model"] for row in rows] == [one.model for one in figures]
    drawings = segment_drawings(figures)
    assert len(drawings) == 3
    for drawing in drawings:
        assert "SYNTHETIC" in drawing.heading
        assert "SYNTHETIC" in drawing.alt
        assert "SYNTHETIC" in drawing.svg
