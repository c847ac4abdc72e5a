"""Split views: members of one attempt that are told different things. Each sees nothing wrong, so nobody refuses.

What saves them is that their masks do not cancel: the sum is noise.
"""

import numpy as np
import pytest

from fedcredit.evaluation.phase import ScoredModel
from fedcredit.wire.messages import Contribution, Role
from tests.adversary import mutants
from tests.adversary.decoder import exposed, findings, leaks, safe, sums
from tests.adversary.players import ROUNDS, Attacker, CorruptMember, consortium, scorecard
from tests.privacy_checks import changed

HONEST = {"bank-1": 1, "bank-2": 1, "bank-3": 1}


def leaked(attacker, role=Role.PREFLIGHT):
    """What the decoder holds in the clear and may not."""
    return [finding for finding in leaks(findings(attacker, role)) if finding.open]


def test_members_are_shown_different_joins(monkeypatch):
    """The colluder signs two keys and is somebody else for bank-1 than for the others."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"])
        attacker.join()
        second = CorruptMember("bank-4", attacker.federation.keys["bank-4"])
        attacker.view.learn(second.agreement)
        attacker.show("bank-1", attacker.listed(bank_4=second.join(attacker.plan)))
        attacker.agree(names=["bank-2", "bank-3"])
        for name in attacker.honest:
            attacker.ask(name)
        return attacker

    senders = {packet.sender for packet in run().view.packets}
    assert senders == {"bank-2", "bank-3"}  # nobody honest accepted what bank-1 was shown, and it waits for a word
    mutants.unwitnessed(monkeypatch)
    assert not safe(run())
    mutants.unsalted(monkeypatch)
    assert [leak.content for leak in leaked(run())] == [HONEST]


def test_members_are_asked_for_different_rosters(monkeypatch):
    """bank-1 is told that the second colluder takes part, the others that it does not."""

    def run():
        attacker = Attacker(consortium(5, colluders=2), ["bank-4", "bank-5"]).start()
        attacker.ask("bank-1")
        for name in ("bank-2", "bank-3"):
            attacker.ask(name, members=("bank-1", "bank-2", "bank-3", "bank-4"))
        return attacker

    assert not safe(run())
    mutants.unbound(monkeypatch, "roster_hash")
    assert [leak.content for leak in leaked(run())] == [HONEST]


def test_members_agree_on_different_plans(caplog, monkeypatch):
    """bank-1 joins the true plan; the others one with less noise, which bank-1 would be summed with."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"])
        phases = attacker.plan.phases.model_dump()
        for terms in phases.values():
            terms["noise_variance"] = {kind: variance // 2 for kind, variance in terms["noise_variance"].items()}
        quiet = changed(attacker.plan, phases=phases, privacy={**attacker.plan.privacy.model_dump(), "epsilon": 8.0})
        attacker.join(names=["bank-1"])
        attacker.join(quiet, names=["bank-2", "bank-3"])
        others = {name.replace("-", "_"): attacker.joins[quiet.digest(), name] for name in ("bank-2", "bank-3")}
        mine = {"bank_1": attacker.joins[attacker.plan.digest(), "bank-1"]}
        reply = attacker.show("bank-1", attacker.listed(**others))
        for name in ("bank-2", "bank-3"):
            attacker.show(name, attacker.listed(quiet, **mine), quiet)
        return attacker, quiet, reply

    attacker, _, reply = run()
    attacker.refused(caplog, "bank-1", "keys-job", reply)
    attacker.refused(caplog, "bank-1", "keys-stale", attacker.ask("bank-1"))
    mutants.any_job(monkeypatch)
    mutants.unwitnessed(monkeypatch)
    attacker, quiet, _ = run()
    attacker.ask("bank-1")
    for name in ("bank-2", "bank-3"):
        attacker.ask(name, plan=quiet)
    assert len(attacker.view.packets) == 3
    assert not safe(attacker)  # the plan's hash in the pair keys still parts them
    mutants.unsalted(monkeypatch)
    mutants.unbound(monkeypatch, "plan_hash")
    attacker, quiet, _ = run()
    attacker.ask("bank-1")
    for name in ("bank-2", "bank-3"):
        attacker.ask(name, plan=quiet)
    (leak,) = leaked(attacker)
    assert leak.parts_of_sigma == pytest.approx(2 / 3, rel=0.05)  # a third, and two thirds of a half


def test_members_are_sent_different_models(monkeypatch):
    """The others' scores all fall into one bin: in the other bins the sum would be bank-1's alone."""
    flat, steep = (ScoredModel(-4096, 4096, scorecard(weight)).encode() for weight in (0, 2000))

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        attacker.ask_all(Role.TRAIN, round=ROUNDS, model=scorecard())
        attacker.ask("bank-1", Role.EVALUATE, model=steep)
        for name in ("bank-2", "bank-3"):
            attacker.ask(name, Role.EVALUATE, model=flat)
        assert len(attacker.view.packets) == 6
        return attacker

    assert not safe(run(), Role.EVALUATE)
    mutants.unbound(monkeypatch, "model_hash")
    attacker = run()
    (leak,) = leaked(attacker, Role.EVALUATE)
    others = sum(leak.truth.exact(packet) for _, packet in leak.parts if packet.sender != "bank-1").view(np.int64)
    assert leak.content == HONEST
    assert np.mean(others == 0) > 0.9


def test_a_round_is_answered_under_joins_that_the_request_does_not_name(caplog, monkeypatch):
    """Between two attempts bank-2 is shown other joins, and then asked under the old ones."""
    attacker = Attacker(consortium(), ["bank-4"]).start()
    known = attacker.shown[attacker.plan.digest(), "bank-2"]
    newer = attacker.listed(bank_4=attacker.corrupt["bank-4"].join(attacker.plan, nonce=b"n" * 32))
    attacker.show("bank-2", newer)
    attacker.shown[attacker.plan.digest(), "bank-2"] = known
    attacker.refused(caplog, "bank-2", "keys-stale", attacker.ask("bank-2"))
    attacker.shown[attacker.plan.digest(), "bank-2"] = newer
    attacker.refused(caplog, "bank-2", "witness", attacker.ask("bank-2"))
    mutants.unwitnessed(monkeypatch)
    attacker.ask_all()
    assert not safe(attacker)
    mutants.unsalted(monkeypatch)
    attacker = Attacker(consortium(), ["bank-4"]).start()
    attacker.show("bank-2", attacker.listed(bank_4=attacker.corrupt["bank-4"].join(attacker.plan, nonce=b"n" * 32)))
    attacker.ask_all()
    assert [leak.content for leak in leaked(attacker)] == [HONEST]


def test_a_masked_plan_is_asked_without_keys(caplog, monkeypatch):
    """A request that names no keys, in a plan with masks: the vector would leave with a share of the noise only."""
    attacker = Attacker(consortium(), ["bank-4"])
    attacker.join()
    attacker.refused(caplog, "bank-1", "keys-stale", attacker.ask("bank-1"))
    attacker.agree()
    attacker.refused(caplog, "bank-1", "keys-stale", attacker.ask("bank-1", transcript_hash=bytes(32)))
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    mutants.no_masks(monkeypatch)
    attacker = Attacker(consortium(), ["bank-4"])
    attacker.join()
    assert isinstance(attacker.ask("bank-1"), Contribution)
    assert exposed(attacker, "bank-1") == pytest.approx(1 / 3, rel=0.05)
    assert sums(findings(attacker))
