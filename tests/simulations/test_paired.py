"""Paired differences: DeLong's variance against the bootstrap, and what another draw of the noise does."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from simulations.comparisons import Comparison, Scores
from simulations.federation import run_in_process
from simulations.paired import Ranked, auc_difference, brier_difference
from simulations.rival_deltas import delta_from_json, deltas_of
from simulations.training_noise import auc_noise
from tests import tiny


def scored(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and two scores that agree in most."""
    generator = np.random.default_rng(seed)
    bad = (generator.random(n) < 0.25).astype(np.uint8)
    common = generator.normal(0.9 * bad, 1.0)
    logits = (common + generator.normal(0, 0.4, n) for _ in range(2))
    # Rounded, so that there are ties.
    return bad, *(1 / (1 + np.exp(1.3 - np.round(one, 1))) for one in logits)


def test_values_are_those_of_scikit_learn():
    bad, first, second = scored(2000, 0)
    pair = Ranked(bad, first), Ranked(bad, second)
    assert auc_difference(*pair).value == pytest.approx(
        roc_auc_score(bad, first) - roc_auc_score(bad, second), abs=1e-12
    )
    apart = brier_score_loss(bad, first) - brier_score_loss(bad, second)
    assert brier_difference(*pair).value == pytest.approx(apart, abs=1e-12)


def test_the_variance_is_that_over_samples_of_records():
    drawn = [scored(400, 100 + seed) for seed in range(150)]
    for difference in (auc_difference, brier_difference):
        found = [difference(Ranked(bad, first), Ranked(bad, second)) for bad, first, second in drawn]
        stated = np.mean([one.sampling_stddev for one in found])
        assert stated == pytest.approx(np.std([one.value for one in found]), rel=0.2)
    single = np.std([roc_auc_score(bad, first) for bad, first, _ in drawn])
    assert np.std([auc_difference(Ranked(b, p), Ranked(b, q)).value for b, p, q in drawn]) < single


def test_too_few_records_have_no_difference():
    nobody = np.zeros(5, dtype=np.uint8), np.full(5, 0.3)
    assert auc_difference(Ranked(*nobody), Ranked(*nobody)) is None
    assert brier_difference(Ranked(nobody[0][:1], nobody[1][:1]), Ranked(nobody[0][:1], nobody[1][:1])) is None


def test_the_joint_model_is_compared_with_every_rival():
    bad, first, second = scored(500, 3)
    labels = dict.fromkeys(("bank", "all"), bad)
    joint, rival = dict.fromkeys(("bank", "all"), Scores(first)), dict.fromkeys(("bank", "all"), Scores(second))
    noise = {
        ("joint", "bank"): 0.003,
        ("same_type", "bank"): 0.004,
        ("joint", "all"): None,
        ("same_type", "all"): 0.004,
    }
    deltas = deltas_of(Comparison(labels, joint, rival, rival, {"bank-1": ("bank", Scores(second))}, noise))
    by_key = {(one.model, one.view): one.auc_noise_stddev for one in deltas}
    assert by_key == {
        ("same_type", "bank"): 0.005,
        ("same_type", "all"): None,
        ("pooled", "bank"): 0.003,
        ("pooled", "all"): None,
        ("alone", "bank"): 0.003,
    }
    assert [delta_from_json(one.to_json()) for one in deltas] == list(deltas)


def test_noise_drawn_again_spreads_the_auc_the_more_noise_there_is():
    dictionary, view = tiny.dictionary(), tiny.rows("bank", 3000, 77)
    cells = np.zeros((3000, len(dictionary.features)), dtype=np.uint16)
    cells[:, list(dictionary.owned("bank"))] = view.cells

    def stated(terms):
        job = tiny.spec(terms)
        return auc_noise(dictionary, run_in_process(tiny.federation(job), job), "bank", cells, view.bad)

    much, little = (stated(tiny.LOCAL.model_copy(update={"epsilon": epsilon})) for epsilon in (4.0, 20.0))
    assert 1.5 * little < much < 0.2
    assert stated(tiny.NONE) == 0.0
