"""The fit to linked counts alone: what a file of few records leans on, and what no count can make of it."""

import numpy as np
import pytest

from fedcredit.models.joint_fit import LinkedCounts, fit_joint

OWN, OTHER = np.linspace(-3.5, 0.5, 6)[:, None] + np.array([-0.1, 0.1]), np.array([[-0.6], [0.0], [0.5]])


def counts(thin: float, thick: float, coefficients: tuple[float, float, float], noise: float = 0.0) -> LinkedCounts:
    """Expected counts of so many records a cell, with noise of that standard deviation."""
    a, b, weight = coefficients
    p = (1 / (1 + np.exp(-(a + b * OWN[:, None, :] + weight * OTHER[None, :, :])))).mean(axis=2)
    n = np.stack([np.full(p.shape, thin), np.full(p.shape, thick)], axis=2)
    exact = np.stack([n * (1 - p)[:, :, None], n * p[:, :, None]], axis=3)
    noised = exact + np.random.default_rng(0).normal(0, noise, exact.shape)
    return LinkedCounts(OWN, np.broadcast_to(OTHER, (3, 2)), noised, noise**2, (thin + thick) * p.size)


@pytest.mark.parametrize("how", ["one", "by_file", "surface"])
def test_expected_counts_give_the_coefficients_back(how):
    found = fit_joint(how, counts(1e5, 1e5, (0.2, 0.9, 0.6)))
    assert found.coefficients == pytest.approx(np.tile([0.2, 0.9, 0.6], (2, 1)), abs=0.01)
    assert np.max(np.abs(found.surface)) < 0.01


def test_a_file_without_records_leans_on_the_others():
    found = fit_joint("by_file", counts(0.0, 1e4, (0.2, 0.9, 0.6)))
    assert found.coefficients[0, :2] == pytest.approx(found.coefficients[1, :2], abs=0.05)
    assert 0.5 < found.coefficients[0, 2] / found.coefficients[1, 2] < 1.0  # part of it, the rest is the prior's 0
    assert np.all(found.stddev[0] > 3 * found.stddev[1])


def test_files_that_differ_are_told_apart():
    thin, thick = counts(1e4, 0.0, (0.5, 0.7, 1.0)), counts(0.0, 1e4, (0.0, 1.1, 0.3))
    both = LinkedCounts(thin.own, thin.other, thin.counts + thick.counts, 0.0, 2e4)
    apart, together = fit_joint("by_file", both), fit_joint("one", both)
    assert apart.coefficients[:, 2] == pytest.approx([1.0, 0.3], abs=0.06)
    assert together.coefficients[0].tolist() == together.coefficients[1].tolist()
    assert 0.3 < together.coefficients[0, 2] < 1.0


def test_the_other_block_never_counts_in_a_persons_favour_against_its_meaning():
    assert fit_joint("by_file", counts(1e4, 1e4, (0.0, 1.0, -0.5))).coefficients[:, 2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("how", ["one", "by_file", "surface"])
def test_sums_that_somebody_poisoned_give_a_view_of_some_kind(how):
    """A member may send any numbers that its public size allows, sixteenfold: no job ends by it without a model."""
    generator, true = np.random.default_rng(3), counts(50.0, 50.0, (0.0, 1.0, 0.3), 20.0)
    for size in (1.0, 1e3, 1e6, 1e9):
        for _ in range(3):
            sent = true.counts + size * generator.choice([-1.0, 0.0, 1.0], true.counts.shape)
            found = fit_joint(how, LinkedCounts(true.own, true.other, sent, true.noise_variance, true.records))
            assert np.all(np.isfinite(found.coefficients))
            assert np.all(np.isfinite(found.surface))
            assert np.all((found.coefficients[:, 2] >= 0) & (found.coefficients[:, 2] <= 2))


def test_noise_widens_what_is_said_and_shrinks_it_to_the_own_view():
    stated = [fit_joint("one", counts(50, 150, (0.3, 0.8, 0.9), noise)) for noise in (0.0, 10.0, 3e3)]
    spread = [one.stddev[1, 2] for one in stated]
    assert spread == sorted(spread)
    assert stated[2].coefficients[1] == pytest.approx([0.0, 1.0, 0.0], abs=0.15)
