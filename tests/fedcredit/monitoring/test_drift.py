"""Drift figures: what they are when nothing has shifted, that alarms come from records and not from noise."""

import numpy as np
import pytest

from fedcredit.evaluation.recalibration import UNIT
from fedcredit.evaluation.stability import stability
from fedcredit.registry.registry_file import Thresholds
from fedcredit.registry.triggers import triggered
from tests.fedcredit.monitoring import portfolios

SIZES = {"exact": (6_000, 24_000, 0.0), "noisy": (6_000, 24_000, 12.0), "small and noisy": (1_500, 2_000, 8.0)}
LOWEST = Thresholds(psi=0.001, csi=0.001)


def pair(name, seed, **drift):
    n, m, noise = SIZES[name]
    generator = np.random.default_rng(seed)
    return portfolios.released(generator, n, noise), portfolios.released(generator, m, noise, **drift)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("thresholds", [Thresholds(), LOWEST], ids=["usual", "lowest"])
def test_without_drift_there_is_no_alarm_in_95_of_100_jobs(size, thresholds):
    alarms = [triggered(portfolios.watched(*pair(size, seed)), thresholds).reasons for seed in range(100)]
    assert sum(map(bool, alarms)) <= 5, [one for one in alarms if one][:3]


@pytest.mark.parametrize("size", ["exact", "noisy"])
@pytest.mark.parametrize(
    ("drift", "words"),
    [
        ({"shift": 0.8}, "the score of type bank drifted"),
        ({"cells": 2}, "feature f0 drifted"),
        ({"slope": 0.5}, "calibration slope"),
    ],
)
def test_strong_drift_is_always_an_alarm_and_says_of_what(size, drift, words):
    for seed in range(10):
        reasons = triggered(portfolios.watched(*pair(size, seed, **drift)), Thresholds()).reasons
        assert any(words in reason for reason in reasons)


@pytest.mark.parametrize(("n", "m", "noise"), [(4_000, 9_000, 0.0), (4_000, 9_000, 10.0), (20_000, 5_000, 25.0)])
def test_floor_and_limit_are_the_indexs_law_without_drift(n, m, noise):
    """The floor is its mean; what it exceeds at a level happens about that often, and not much more."""
    generator = np.random.default_rng(5)
    shares = np.array([0.05, 0.1, 0.2, 0.25, 0.15, 0.1, 0.1, 0.05])
    found = []
    for _ in range(1000):
        counts = [generator.multinomial(size, shares) + generator.normal(0, noise, 8) for size in (n, m)]
        found.append(stability(*counts, noise, noise))
    index = np.array([one.index for one in found])
    floor = np.mean([one.floor for one in found])
    assert floor == pytest.approx(index.mean(), rel=0.12)
    assert floor >= 7 * (1 / n + 1 / m)
    for level, most in ((0.1, 0.125), (0.01, 0.018)):
        above = np.mean([one.index > one.limit(level) for one in found])
        assert level / 4 < above < most, (level, above)


def test_noise_without_a_floor_would_be_read_as_drift():
    """The floor keeps noise from being an alarm: the raw index is far above sampling's and nothing has shifted."""
    generator = np.random.default_rng(1)
    shares, noise = np.full(10, 0.1), 60.0
    raw = [
        stability(*(generator.multinomial(4_000, shares) + generator.normal(0, noise, 10) for _ in "ab"), noise, noise)
        for _ in range(50)
    ]
    assert np.mean([one.index for one in raw]) > 5 * 9 * 2 / 4_000
    assert np.mean([one.excess for one in raw]) < 0.5 * np.mean([one.index for one in raw])


def test_a_feature_that_nobody_owned_is_not_judged():
    trained, new = pair("exact", 1)
    empty = tuple(
        type(one)(one.name, np.zeros_like(one.counts), 0.0) if one.name == "f3" else one for one in new.features
    )
    drift = portfolios.feature_drift(trained, type(new)(empty, new.grid, new.groupings))
    assert sorted(drift) == sorted(one.name for one in trained.features if one.name != "f3")


@pytest.mark.parametrize("noise", [0.0, 10.0])
def test_bins_that_have_run_empty_are_drift_and_are_not_merged_away(noise):
    """A portfolio that lost its upper half: merged until both histograms are full, two bins would be left of it."""
    generator = np.random.default_rng(2)
    first = generator.multinomial(12_000, np.full(12, 1 / 12)) + generator.normal(0, noise, 12)
    second = generator.multinomial(5_000, [*[1 / 6] * 6, *[0.0] * 6]) + generator.normal(0, noise, 12)
    found = stability(first, second, noise, noise)
    assert found.bins == 12
    assert found.excess > 1.0


def test_the_proposed_map_agrees_with_the_estimate_and_stays_near_no_change_under_noise():
    _, exact = pair("exact", 0, slope=0.5)
    figures = portfolios.watched(exact, exact)
    proposed = figures.proposals["bank"]
    assert proposed.slope / UNIT == pytest.approx(figures.recalibration.slope.value, abs=0.05)
    assert proposed.intercept / UNIT == pytest.approx(figures.recalibration.intercept.value, abs=0.1)
    generator = np.random.default_rng(1)
    drowned = portfolios.released(generator, 200, 200.0, slope=0.5)
    assert portfolios.watched(drowned, drowned).proposals["bank"].slope / UNIT == pytest.approx(1.0, abs=0.25)
