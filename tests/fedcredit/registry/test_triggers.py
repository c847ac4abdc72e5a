"""Triggers: beyond a threshold by more than chance, a warning where chance is enough, and what is not a figure."""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.evaluation.figure import Figure, unknown
from fedcredit.evaluation.stability import Stability
from fedcredit.monitoring.recalibration import Recalibration
from fedcredit.registry.comparison import FIGURES, compare
from fedcredit.registry.registry_file import Thresholds
from fedcredit.registry.triggers import triggered
from tests.fedcredit.monitoring import portfolios

CALM = Recalibration(Figure(0.0, -0.1, 0.1), Figure(1.0, 0.9, 1.1))


@pytest.fixture(scope="module")
def calm():
    generator = np.random.default_rng(0)
    return portfolios.released(generator, 8_000, 5.0), portfolios.released(generator, 8_000, 5.0)


def said(calm, **changes):
    found = triggered(portfolios.watched(*calm, **changes), Thresholds())
    return found.reasons, found.warnings


def test_nothing_is_said_of_a_model_that_does_well(calm):
    assert said(calm) == ((), ())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scores": {"bank": Stability(0.5, 0.01, 8, null_stddev=0.01)}}, "the score of type bank drifted"),
        ({"features": {"age": Stability(0.5, 0.01, 8, null_stddev=0.01)}}, "feature age drifted"),
        ({"recalibration": Recalibration(Figure(0.0, 0.0, 0.0), Figure(0.5, 0.4, 0.6))}, "slope is 0.50"),
        ({"recalibration": Recalibration(Figure(0.0, 0.0, 0.0), Figure(1.5, 1.4, 1.6))}, "outside 0.7 to 1.3"),
        ({"approval_ratios": {"sex: female": Figure(0.6, 0.5, 0.7)}}, "approval of sex: female is 0.60"),
        ({"unpaid": True}, "budget"),
        ({"withdrew": ("bank-3",)}, "bank-3 took part in training and no longer does"),
    ],
)
def test_each_trigger_suspends_and_says_why(calm, changes, word):
    reasons, _ = said(calm, **changes)
    assert len(reasons) == 1
    assert word in reasons[0]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scores": {"bank": Stability(0.5, 0.1, 8, null_stddev=0.4)}}, "the score of type bank drifted"),
        ({"scores": {"bank": Stability(0.2, 0.01, 8, null_stddev=0.01)}}, "the score of type bank has moved"),
        ({"scores": {"bank": Stability(None, None, 1, "too few records")}}, "too few records"),
        ({"recalibration": Recalibration(Figure(0.0, 0.0, 0.0), Figure(0.5, 0.2, 0.8))}, "slope is 0.50"),
        ({"recalibration": Recalibration(unknown("one class"), unknown("one class"))}, "one class"),
        ({"approval_ratios": {"sex: female": Figure(0.6, 0.5, 0.9)}}, "approval"),
        ({"approval_ratios": {"sex: female": unknown("no records")}}, "no records"),
        ({"too_few": ("sex: other",)}, "too few records"),
    ],
)
def test_what_may_be_chance_or_cannot_be_judged_is_a_warning(calm, changes, word):
    reasons, warnings = said(calm, **changes)
    assert reasons == ()
    assert len(warnings) == 1
    assert word in warnings[0]


def figures(value, sampling=0.01, noise=0.0):
    half = 1.959963984540054 * (sampling**2 + noise**2) ** 0.5
    return dict.fromkeys(FIGURES, Figure(value, value - half, value + half, sampling, noise))


def test_a_challenger_wins_loses_or_cannot_be_told_apart():
    better = {one.name: one for one in compare(figures(0.70), figures(0.75, noise=0.003))}
    assert better["auc"].verdict == "challenger"
    assert better["brier"].verdict == "champion"  # lower is better
    delta = better["auc"].delta
    assert delta.value == pytest.approx(0.05)
    assert delta.high == pytest.approx(0.05 + 1.96 * (0.0002 + 0.000009) ** 0.5, abs=1e-5)
    assert (delta.sampling_stddev, delta.noise_stddev) == (pytest.approx(0.01 * 2**0.5), pytest.approx(0.003))
    close = compare(figures(0.70), figures(0.705))[0]
    assert close.verdict == "no difference can be told"
    nothing = dict.fromkeys(FIGURES, unknown("the job was not evaluated"))
    assert "not evaluated" in compare(nothing, figures(0.7))[0].verdict


def test_parts_that_one_side_does_not_tell_apart_are_not_made_up():
    whole = {name: replace(one, sampling_stddev=None, noise_stddev=None) for name, one in figures(0.7).items()}
    delta = compare(whole, figures(0.75))[0].delta
    assert (delta.sampling_stddev, delta.noise_stddev) == (None, None)
    assert delta.high == pytest.approx(0.05 + 1.96 * 0.01 * 2**0.5, abs=1e-5)
