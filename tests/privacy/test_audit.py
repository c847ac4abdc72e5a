"""The published audit with few trials: an honest custodian stays below its claim, half the noise does not.

Audits are chance. An honest mechanism fails the canary audit with a probability of 1e-4 at most (its bound is that
sure); half the noise at ε = 8 is missed with less than 1e-3 at 200 jobs (by the same normal law).
"""

import math

import numpy as np
import pytest
from scipy import stats

from fedcredit.plan import Placement, PrivacyUnit
from simulations.audit import canary_scores, canary_world, halved_noise, membership_row, one_run_rows
from simulations.audit_bounds import gaussian_mu_bound, one_run_epsilon_bound, one_run_mu_bound

pytestmark = pytest.mark.statistical

SURE = 1 - 1e-4


def test_an_honest_custodian_stays_below_its_claim():
    """Local noise over records; the other three of the table run with ``--long``."""
    world = canary_world(Placement.LOCAL, PrivacyUnit.RECORD, 8.0)
    assert gaussian_mu_bound(*canary_scores(world, 24), SURE) <= world.claimed_mu


def test_half_the_noise_is_noticed():
    world = canary_world(Placement.LOCAL, PrivacyUnit.PERSON, 8.0)
    assert gaussian_mu_bound(*canary_scores(world, 200, halved_noise), 0.95) > world.claimed_mu


@pytest.mark.long
@pytest.mark.parametrize("placement", [Placement.LOCAL, Placement.DISTRIBUTED])
@pytest.mark.parametrize("unit", list(PrivacyUnit))
def test_every_placement_and_unit_stays_below_its_claim_and_half_the_noise_does_not(placement, unit):
    world = canary_world(placement, unit, 8.0)
    assert gaussian_mu_bound(*canary_scores(world, 120), SURE) <= world.claimed_mu
    assert gaussian_mu_bound(*canary_scores(world, 200, halved_noise), 0.95) > world.claimed_mu


def test_one_run_stays_below_its_claim():
    """Its bounds are 95 % sure but far below the claim: above it in fewer than 1e-6 of honest runs."""
    for row in one_run_rows(4.0):
        assert 0.0 <= row.bound <= row.claimed


def test_the_attack_on_the_scorecard_is_a_coin_under_noise():
    assert abs(membership_row(1.0, 2).attack_auc - 0.5) < 0.1


# The bounds themselves.


def scores(mu, n, seed):
    generator = np.random.default_rng(seed)
    return generator.normal(mu, 1, n), generator.normal(0, 1, n)


def test_the_parametric_bound_holds_as_often_as_it_says():
    """At 90 %, over 400 audits of a true μ = 1, between 84 % and 96 % hold: 4 standard errors."""
    held = sum(gaussian_mu_bound(*scores(1.0, 40, seed), 0.9) <= 1.0 for seed in range(400))
    assert 0.84 < held / 400 < 0.96


def test_the_parametric_bound_comes_near():
    assert 0.9 < gaussian_mu_bound(*scores(1.0, 20_000, 1), 0.95) < 1.01
    assert gaussian_mu_bound(*scores(0.0, 100, 2), 0.95) < 0.6


def guessed(mu, n, seed):
    """Right guesses about the outer two thirds of `n` fair coins under Gaussian noise."""
    generator = np.random.default_rng(seed)
    coins = generator.random(n) < 0.5
    order = np.argsort(coins + generator.normal(0, 1 / mu, n))
    third = n // 3
    return 2 * third, int((~coins[order[:third]]).sum() + coins[order[-third:]].sum())


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0])
def test_one_run_bounds_hold(mu):
    """Both, in every one of 30 runs: they are meant for 95 %, and fair coins leave them far more room than that."""
    for seed in range(30):
        guesses, right = guessed(mu, 600, seed)
        assert one_run_mu_bound(guesses, right, 0.95) <= mu
        epsilon = one_run_epsilon_bound(guesses, right, 600, 1e-5, 0.95)
        total = stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
        assert total >= 1e-5  # the mechanism is not (ε, 1e-5)-DP at any smaller ε


def test_more_right_guesses_refute_more():
    bounds = [one_run_mu_bound(100, right, 0.95) for right in (50, 60, 70, 80, 90, 99, 100)]
    assert bounds == sorted(bounds)
    assert bounds[0] == 0.0
    pure = [one_run_epsilon_bound(100, right, 100, 0.0, 0.95) for right in (50, 70, 90)]
    assert pure == sorted(pure)


def test_the_pure_bound_is_the_binomials():
    """δ = 0: the ε at which so many right guesses have a chance of exactly 5 %."""
    epsilon = one_run_epsilon_bound(100, 80, 100, 0.0, 0.95)
    assert stats.binom(100, 1 / (1 + math.exp(-epsilon))).sf(79) == pytest.approx(0.05, rel=1e-3)
