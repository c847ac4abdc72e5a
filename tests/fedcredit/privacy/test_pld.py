"""The joint privacy loss: exact where a closed form exists, never above Rényi DP, and what a plan makes of it."""

import math
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad

from fedcredit.errors import PrivacyError
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.plan import Plan
from fedcredit.planning import accountant_for, mixed_accountant
from fedcredit.privacy import gdp, pld, rdp
from fedcredit.privacy.accounting import SAMPLER_SHARE, Mechanism
from fedcredit.privacy.rdp import Releases
from fedcredit.privacy.statement import mechanism, planned_cost
from fedcredit.wire.messages import Role
from tests import tiny

pytestmark = pytest.mark.neural

# A mechanism's noise is a whole variance; over this sensitivity it is as fine as a double.
SQUARED = 10**12


@cache
def sampled_plan(epsilon: float = 2.0, rounds: int = 20, rate: float = 0.1, delta: float = 1e-5, **terms: int) -> Plan:
    privacy = tiny.LOCAL.model_copy(update={"epsilon": epsilon, "delta": delta, **terms})
    job = tiny.spec(privacy)
    return tiny.federation(replace(job, model=MlpSpec(rounds=rounds, sampling_rate=rate))).plan


def accountant_of(plan: Plan):
    return accountant_for(plan.privacy, plan.phases.train.sampling_rate)


@pytest.mark.parametrize("mu", [0.0275, 0.1, 0.9, 5.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-5])
def test_unsampled_releases_are_exact_gaussian_dp_from_above(mu: float, delta: float) -> None:
    exact = gdp.epsilon_of(mu, delta)
    assert exact <= pld.epsilon_of_releases([Releases(1.0, 1 / mu, 1)], delta) <= exact * (1 + 1e-3)


def test_it_is_no_matter_how_unsampled_releases_are_told_apart() -> None:
    together = pld.epsilon_of_releases([Releases(0.1, 2.0, 20), Releases(1.0, 5.0, 4)], 1e-5)
    apart = pld.epsilon_of_releases([Releases(1.0, 5.0, 3), Releases(0.1, 2.0, 20), Releases(1.0, 5.0, 1)], 1e-5)
    assert together == pytest.approx(apart, rel=1e-9)
    assert together > pld.epsilon_of_releases([Releases(0.1, 2.0, 20)], 1e-5)


@pytest.mark.parametrize(("rate", "sigma"), [(0.001, 0.5), (0.01, 0.6), (0.05, 1.0), (0.5, 2.0), (0.9, 4.0)])
def test_one_sampled_release_has_its_closed_form(rate: float, sigma: float) -> None:
    """δ at log(1 + q (e^ε - 1)) is q times the unsampled δ at ε, when a record is removed."""
    unsampled = gdp.epsilon_of(1 / sigma, 1e-6 / rate)
    exact = math.log1p(rate * math.expm1(unsampled))
    bound = pld.epsilon_of_releases([Releases(rate, sigma, 1)], 1e-6)
    assert exact <= bound <= exact + 2e-3 * rdp.epsilon_of_releases([Releases(rate, sigma, 1)], 1e-6)


@pytest.mark.parametrize(("rate", "sigma"), [(0.05, 0.7), (0.5, 2.0), (0.9, 1.0)])
def test_the_two_directions_are_each_others_likelihood_ratios(rate: float, sigma: float) -> None:
    """The added law at -t is the removed law at t, weighted by e^-t."""
    removed, added = (pld._Loss(rate, sigma, added=direction) for direction in (False, True))
    lowest = math.log1p(-rate)

    def density(point: float) -> float:
        return (removed.cdf(point + 1e-5) - removed.cdf(point - 1e-5)) / 2e-5

    for threshold in (lowest + 0.3, 0.2, 1.5):
        weighted, _ = quad(lambda t: math.exp(-t) * density(t), threshold, threshold + 40, limit=400, points=[0.5, 3.0])
        assert added.cdf(-threshold) == pytest.approx(weighted, abs=1e-6)
    assert removed.cdf(np.array([lowest - 1, lowest])) == pytest.approx([0.0, 0.0])
    assert added.cdf(np.array([-lowest, 50.0])) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(("rate", "sigma"), list(product((0.01, 0.1, 0.5), (0.7, 1.0, 4.0))))
@pytest.mark.parametrize(("steps", "plain"), [(1, 0), (16, 2)])
def test_renyi_dp_and_the_ledgers_order_are_never_below(rate: float, sigma: float, steps: int, plain: int) -> None:
    releases = [Releases(rate, sigma, steps)] + [Releases(1.0, 5.0, plain)] * (plain > 0)
    joint, best = pld.epsilon_of_releases(releases, 1e-5), rdp.epsilon_of_releases(releases, 1e-5)
    ledger = mixed_accountant(best, 1e-5)
    cost = sum(
        one.count * ledger.cost(Mechanism(SQUARED, round(SQUARED * one.noise_multiplier**2), one.rate))
        for one in releases
    )
    assert joint < best <= ledger.epsilon(cost, 1e-5)


def test_more_of_anything_costs_more() -> None:
    base = pld.epsilon_of_releases([Releases(0.3, 1.0, 10)], 1e-5)
    assert pld.epsilon_of_releases([Releases(0.33, 1.0, 10)], 1e-5) > base
    assert pld.epsilon_of_releases([Releases(0.3, 0.9, 10)], 1e-5) > base
    assert pld.epsilon_of_releases([Releases(0.3, 1.0, 11)], 1e-5) > base
    assert pld.epsilon_of_releases([Releases(0.3, 1.0, 10)], 1e-6) > base


def test_what_protects_nothing_keeps_the_renyi_bound() -> None:
    releases = [Releases(0.9, 0.5, 1000)]
    assert pld.epsilon_of_releases(releases, 1e-5) == rdp.epsilon_of_releases(releases, 1e-5) > pld.LARGEST_EPSILON


def test_no_release_has_no_number() -> None:
    with pytest.raises(PrivacyError, match="at least one release"):
        pld.epsilon_of_releases([], 1e-5)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_a_plan_is_its_three_phases_at_the_delta_that_the_sampler_leaves(kind: str) -> None:
    plan = sampled_plan()
    releases = []
    for role in Role:
        terms = plan.phases.of(role)
        multiplier = math.sqrt(terms.noise_variance[kind] / terms.sensitivity_squared[kind])
        releases.append(Releases(terms.sampling_rate, multiplier, terms.rounds))
    assert [one.rate for one in releases].count(1.0) == 2
    expected = pld.epsilon_of_releases(releases, 1e-5 * (1 - SAMPLER_SHARE))
    assert pld.epsilon_of_plan(plan, kind) == pytest.approx(expected, rel=1e-12)
    assert pld.epsilon_of_plan(plan, kind, {Role.EVALUATE: 1}) > expected


def test_without_noise_there_is_no_number() -> None:
    plan = tiny.federation(tiny.spec(tiny.NONE)).plan
    assert pld.epsilon_of_plan(plan, "bank") is None
    assert pld.dearest_retries(plan, "bank", accountant_of(plan)) == {}


def test_the_reserve_buys_whole_messages_of_the_phase_that_costs_most() -> None:
    plan = sampled_plan()
    accountant = accountant_of(plan)
    costs = {role: accountant.cost(mechanism(plan, "bank", role)) for role in Role}
    planned = sum(costs[role] * plan.phases.of(role).rounds for role in Role)
    reserve = planned_cost(plan, "bank", accountant) - planned
    affordable = {role: {role: math.floor(reserve / costs[role])} for role in Role}
    assert all(retries[role] >= 1 for role, retries in affordable.items())
    chosen = pld.dearest_retries(plan, "bank", accountant)
    assert chosen in affordable.values()
    largest = max(pld.epsilon_of_plan(plan, "bank", retries) for retries in affordable.values())
    assert pld.epsilon_of_plan(plan, "bank", chosen) == pytest.approx(largest, rel=2e-3)


def test_no_more_is_retried_than_attempts_allow() -> None:
    plan = sampled_plan(max_attempts=1)
    assert set(pld.dearest_retries(plan, "bank", accountant_of(plan)).values()) == {0}


@pytest.mark.parametrize(
    ("epsilon", "rounds", "rate", "delta"),
    [(0.8, 10, 0.5, 1e-6), (2.0, 30, 0.1, 1e-5), (8.0, 100, 0.02, 1e-7)],
)
def test_calibrated_noise_never_exceeds_the_target(epsilon: float, rounds: int, rate: float, delta: float) -> None:
    """Not by the ledger's own number, proved by spending it, and not by the joint one, reserve included."""
    plan = sampled_plan(epsilon, rounds, rate, delta)
    accountant = accountant_of(plan)
    gate = accountant.epsilon(planned_cost(plan, "bank", accountant), delta)
    joint = pld.epsilon_of_plan(plan, "bank", pld.dearest_retries(plan, "bank", accountant))
    assert 0.6 * epsilon < joint < gate <= epsilon
    assert gate == pytest.approx(epsilon, rel=1e-3)


@pytest.mark.parametrize(("before", "there"), [("", "True"), ("sys.modules['opacus'] = None", "False")])
def test_nothing_heavy_is_loaded_before_it_is_needed(before: str, there: str) -> None:
    script = f"import sys\n{before}\nfrom fedcredit.privacy import pld\nprint(pld.installed(), 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [there, "False"]
