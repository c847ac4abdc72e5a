"""The part of delta that pays for integer noise holds for the life of a ledger, not for each job anew.

A job may cost next to nothing, by noise so large that a ledger could pay for 10^17 of its kind; the distance of each
message's integers from a Gaussian adds up all the same.
"""

from dataclasses import replace
from fractions import Fraction

import pytest

from fedcredit.custodian import guard
from fedcredit.errors import RefusalError
from fedcredit.privacy.accounting import SAMPLER_SHARE, GaussianAccountant
from fedcredit.privacy.statement import mechanism
from fedcredit.wire.messages import Role
from simulations.federation import site_of
from tests import privacy_checks as checks
from tests import tiny

LARGEST = 2**80
PLACEMENTS = pytest.mark.parametrize("privacy", [tiny.LOCAL, tiny.SHARED], ids=["local", "shared"])


class World:
    def __init__(self, privacy):
        job = tiny.spec(privacy)
        self.consortium = tiny.federation(job)
        self.plan, self.site = self.consortium.plan, site_of(self.consortium, self.consortium.institutions[0], job)
        self.accountant = GaussianAccountant.for_target(4.0, 1e-5)

    def louder(self, variance: int):
        phases = self.plan.phases.model_dump()
        for terms in phases.values():
            terms["noise_variance"] = dict.fromkeys(terms["noise_variance"], variance)
        return checks.changed(self.plan, phases=phases)

    def refused(self, plan, epsilon=4.0) -> bool:
        """By a custodian whose policy and ledger are for that epsilon."""
        site = replace(self.site, policy=self.site.policy.model_copy(update={"epsilon": epsilon}))
        try:
            guard.guard_plan(site, plan, GaussianAccountant.for_target(epsilon, 1e-5))
        except RefusalError as error:
            return error.code == "noise"
        return False


@PLACEMENTS
def test_every_plan_that_is_let_in_keeps_the_ledgers_delta_however_often(privacy):
    world = World(privacy)
    low, high = 64, 81  # bits of the variance
    assert not world.refused(world.plan)
    assert not world.refused(world.louder(2**low))
    assert world.refused(world.louder(LARGEST))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if world.refused(world.louder(min(2**middle, LARGEST))) else (middle, high)
    plan, policy = world.louder(2**low), world.site.policy
    budget = world.accountant.target(policy.epsilon, policy.delta)
    for role in Role:
        messages = budget / world.accountant.cost(mechanism(plan, "bank", role))
        spent = Fraction(guard._delta_of_integers(plan, role, policy.epsilon)) * messages
        assert spent <= policy.delta * SAMPLER_SHARE


@PLACEMENTS
def test_the_epsilon_that_counts_is_the_ledgers_not_the_jobs(privacy):
    """A slack of total variation costs (1 + e^epsilon) times as much delta at the larger epsilon."""
    world = World(privacy)
    bits = next(bits for bits in range(64, 81) if world.refused(world.louder(2**bits)))
    assert world.refused(world.louder(2 ** (bits - 3)), epsilon=30.0)


def test_a_policy_that_is_larger_than_the_ledger_changes_nothing():
    world = World(tiny.LOCAL)
    larger = world.site.policy.model_copy(update={"epsilon": 1000.0})
    guard.guard_plan(replace(world.site, policy=larger), world.plan, world.accountant)
