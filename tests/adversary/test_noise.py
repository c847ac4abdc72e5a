"""Attacks on the noise: plans that promise too little of it, members that add none, colluders that know their part."""

import numpy as np
import pytest

from fedcredit.custodian import guard, guard_members, open_jobs
from fedcredit.plan import Placement
from fedcredit.planning import accountant_for
from fedcredit.privacy.accounting import SAMPLER_SHARE
from fedcredit.privacy.statement import planned_cost
from fedcredit.wire.messages import JoinReply, KeysRequest, Role
from tests.adversary import mutants
from tests.adversary.decoder import NOISE_P, exposed, findings, leaks, safe, sums, variance_p
from tests.adversary.players import Attacker, consortium
from tests.privacy_checks import changed

pytestmark = pytest.mark.statistical


def open_leaks(attacker):
    return [leak for leak in leaks(findings(attacker)) if leak.open]


def with_terms(attacker, **terms):
    """The plan with other privacy terms."""
    return changed(attacker.plan, privacy={**attacker.plan.privacy.model_dump(), **terms})


def everybody(plan) -> Attacker:
    """A run in which all members join a plan, whatever it is."""
    attacker = Attacker(consortium(), ["bank-4"])
    attacker.join(plan)
    if plan.privacy.masks:
        attacker.agree(plan)
    attacker.ask_all(plan=plan)
    return attacker


def honest_noise(attacker) -> np.ndarray:
    """The noise of the honest members' sum, in planned standard deviations."""
    (only,) = sums(findings(attacker))
    return only.noise / attacker.plan.phases.preflight.noise_variance["bank"] ** 0.5


@pytest.mark.parametrize("placement", [Placement.DISTRIBUTED, Placement.LOCAL])
def test_a_colluder_adds_no_noise(monkeypatch, placement):
    """It sends exact zeros and its masks; what is left in the released sum is the honest members' noise, enough."""
    federation = consortium(placement=placement)
    attacker = Attacker(federation, ["bank-4"]).start()
    attacker.ask_all()
    (only,) = safe(attacker)  # the released sum less the colluder's zeros
    honest = {Placement.DISTRIBUTED: 1, Placement.LOCAL: 3}[placement]
    assert only.parts_of_sigma == pytest.approx(honest, rel=0.05)
    if placement is Placement.LOCAL:
        return
    noise = honest_noise(attacker)
    assert variance_p(noise**2) > NOISE_P
    for scale in (0.7, 1.3):
        assert variance_p((noise * scale) ** 2) < NOISE_P
    mutants.shares_of(monkeypatch, lambda _, asked: asked)  # n shares that count on everybody
    attacker = Attacker(federation, ["bank-4"]).start()
    attacker.ask_all()
    (leak,) = open_leaks(attacker)
    assert leak.parts_of_sigma == pytest.approx(3 / 4, rel=0.05)


def test_a_colluder_takes_its_own_share_off(monkeypatch):
    """In an attempt that one member is left out of, the honest shares are larger, so that they still sum to the plan's.

    Shares of the plan's roster in place of the attempt's would not.
    """

    def run():
        attacker = Attacker(consortium(5), ["bank-5"]).start()
        attacker.ask_all(members=("bank-1", "bank-2", "bank-3", "bank-5"))
        return attacker

    attacker = run()
    (only,) = safe(attacker)
    assert only.parts_of_sigma == pytest.approx(1, rel=0.05)
    assert variance_p(honest_noise(attacker) ** 2) > NOISE_P
    mutants.shares_of(monkeypatch, lambda plan, _: len(plan.members) - 1)
    (leak,) = open_leaks(run())
    assert leak.parts_of_sigma == pytest.approx(3 / 4, rel=0.05)


def test_all_others_collude_against_one():
    """Beyond the threat model: what is left is the victim's own share, which is what is printed for all others."""
    attacker = Attacker(consortium(), ["bank-2", "bank-3", "bank-4"]).start()
    attacker.ask_all()
    assert exposed(attacker, "bank-1") == pytest.approx(1 / 3, rel=0.05)


def test_local_noise_stays_whoever_colludes():
    attacker = Attacker(consortium(placement=Placement.LOCAL), ["bank-2", "bank-3", "bank-4"]).start()
    attacker.ask_all()
    (only,) = safe(attacker)
    assert only.content == {"bank-1": 1}
    assert only.parts_of_sigma == pytest.approx(1, rel=0.05)


def test_a_plan_for_no_colluders(caplog, monkeypatch):
    """t = 0 sizes the shares for a coordinator without friends; here it has one."""
    attacker = Attacker(consortium(), ["bank-4"])
    plan = with_terms(attacker, colluders=0)
    attacker.refused(caplog, "bank-1", "colluders", attacker.join(plan)["bank-1"])
    monkeypatch.setattr(guard, "guard_company", mutants.nothing)
    (leak,) = open_leaks_of_sums(everybody(plan))
    assert leak.parts_of_sigma == pytest.approx(3 / 4, rel=0.05)


def open_leaks_of_sums(attacker):
    """Sums over all honest members that the attacker may not hold."""
    return [leak for leak in open_leaks(attacker) if set(leak.content.values()) == {1} and len(leak.content) == 3]


def test_a_plan_without_masks(caplog, monkeypatch):
    """Single vectors would leave with a share of the noise each."""
    attacker = Attacker(consortium(), ["bank-4"])
    plan = with_terms(attacker, masks=False)
    for name, reply in attacker.join(plan).items():
        attacker.refused(caplog, name, "masks", reply)
    monkeypatch.setattr(guard, "guard_company", mutants.nothing)
    assert exposed(everybody(plan), "bank-1") == pytest.approx(1 / 3, rel=0.05)


def test_keys_for_a_plan_without_masks(caplog, monkeypatch):
    """Two members need none; whoever names keys to them means another job, or wants to see how they answer."""
    attacker = Attacker(consortium(2, placement=Placement.LOCAL, masks=False), min_institutions=2)
    attacker.join()
    attacker.refused(caplog, "bank-1", "masks", attacker.send("bank-1", KeysRequest(attacker.plan.digest(), ())))
    attacker.refused(caplog, "bank-1", "masks", attacker.ask("bank-1", transcript_hash=b"t" * 32))
    attacker.ask_all()
    assert [attacker.charged(name) for name in attacker.honest] == [1, 1]
    assert {tuple(finding.content) for finding in sums(findings(attacker))} >= {("bank-1",), ("bank-2",)}
    monkeypatch.setattr(open_jobs, "guard_round", mutants.nothing)
    attacker = Attacker(consortium(2, placement=Placement.LOCAL, masks=False), min_institutions=2)
    attacker.join()
    attacker.ask_all(transcript_hash=b"t" * 32)


def test_a_plan_with_less_noise_for_one_type(caplog, monkeypatch):
    """Everybody's shares hide everybody, so a type that adds less takes from the others' protection."""
    federation = consortium(3, hospitals=3)
    attacker = Attacker(federation, ["hospital-3"])
    phases = attacker.plan.phases.model_dump()
    phases["preflight"]["noise_variance"]["bank"] //= 2
    plan = changed(attacker.plan, phases=phases)
    attacker.refused(caplog, "hospital-1", "noise", attacker.join(plan)["hospital-1"])
    for refuses in ("_guard_shares", "guard_members"):
        monkeypatch.setattr(guard_members, refuses, mutants.nothing)
    monkeypatch.setattr(guard, "_guard_cost", mutants.nothing)
    attacker = Attacker(federation, ["hospital-3"])
    attacker.join(plan)
    attacker.agree(plan)
    attacker.ask_all(plan=plan)
    (leak,) = open_leaks(attacker)
    assert leak.parts_of_sigma == pytest.approx((2 + 3 / 2) / 5, rel=0.05)


def test_a_plan_with_too_little_noise(caplog, monkeypatch):
    """Half of the variance, under the same epsilon."""
    attacker = Attacker(consortium(), ["bank-4"])
    phases = attacker.plan.phases.model_dump()
    for terms in phases.values():
        terms["noise_variance"] = {kind: variance // 2 for kind, variance in terms["noise_variance"].items()}
    plan = changed(attacker.plan, phases=phases)
    attacker.refused(caplog, "bank-1", "epsilon", attacker.join(plan)["bank-1"])
    monkeypatch.setattr(guard, "_guard_cost", mutants.nothing)
    (only,) = sums(findings(everybody(plan)))
    measured = np.var(only.noise) / attacker.plan.phases.preflight.noise_variance["bank"]
    assert measured == pytest.approx(1 / 2, rel=0.05)


def test_jobs_that_cost_next_to_nothing(caplog, monkeypatch):
    """Noise so loud that a ledger pays for 10^13 such jobs, each with its own distance from a Gaussian."""
    attacker = Attacker(consortium(), ["bank-4"])
    phases = attacker.plan.phases.model_dump()
    for terms in phases.values():
        terms["noise_variance"] = dict.fromkeys(terms["noise_variance"], 2**70)
    plan = changed(attacker.plan, phases=phases)
    attacker.refused(caplog, "bank-1", "noise", attacker.join(plan)["bank-1"])
    monkeypatch.setattr(guard, "_guard_integers", mutants.nothing)
    assert isinstance(attacker.join(plan)["bank-1"], JoinReply)
    terms, accountant = plan.privacy, accountant_for(plan.privacy, 1.0)
    jobs = accountant.budget / planned_cost(plan, "bank", accountant)
    assert jobs > 10**13
    each = guard._delta_of_integers(plan, Role.PREFLIGHT, terms.epsilon)
    assert float(jobs) * each > 10 * SAMPLER_SHARE * terms.delta


def test_a_joined_plan_cannot_be_swapped(caplog, attacker_of_two_plans):
    """What was agreed to stands in the ledger; a request under another hash is for no open job."""
    attacker, other = attacker_of_two_plans
    attacker.refused(caplog, "bank-1", "job", attacker.ask("bank-1", plan=other))
    attacker.ask_all()
    assert len(safe(attacker)) == 1


@pytest.fixture
def attacker_of_two_plans():
    attacker = Attacker(consortium(), ["bank-4"]).start()
    assert isinstance(attacker.join(names=["bank-1"])["bank-1"], JoinReply)
    return attacker, with_terms(attacker, max_attempts=10)
