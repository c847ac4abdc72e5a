"""Attacks on company: with whom, with how many and how often in other company an institution is summed."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from fedcredit.custodian import guard, guard_members, history
from fedcredit.custodian.open_jobs import OpenJobs
from fedcredit.plan import parse_plan
from fedcredit.roster import Roster
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Contribution, JoinReply, JoinRequest, StopReply, StopRequest
from tests.adversary import mutants
from tests.adversary.decoder import at_least, exposed, findings, leaks, safe, sums
from tests.adversary.players import Attacker, consortium
from tests.privacy_checks import changed

THREE = ("bank-1", "bank-2", "bank-3", "bank-4")  # three honest members and a colluder


def isolated(attacker) -> set[str]:
    """Institutions whose own vector stands alone in a sum or a difference."""
    alone = [finding.content for finding in sums(findings(attacker)) if len(finding.content) == 1]
    return {name for content in alone for name in content}


def test_a_cohort_of_one_victim_and_colluders(caplog, monkeypatch):
    members = ("bank-1", "bank-4", "bank-5")

    def run(max_drops=2):
        corrupt = ("bank-4", "bank-5")
        attacker = Attacker(consortium(5, max_drops=max_drops), corrupt, min_institutions=4).start()
        return attacker, attacker.ask("bank-1", members=members)

    attacker, reply = run()
    attacker.refused(caplog, "bank-1", "members", reply)
    attacker, reply = run(max_drops=1)
    attacker.refused(caplog, "bank-1", "drops", reply)
    mutants.any_company(monkeypatch)
    attacker, reply = run()
    assert isinstance(reply, Contribution)
    assert exposed(attacker, "bank-1") == pytest.approx(1 / 2, rel=0.05)


def test_a_sum_over_two(caplog, monkeypatch):
    """Between two, each takes its own vector off the sum."""

    def run():
        attacker = Attacker(consortium(3), ["bank-2", "bank-3"], min_institutions=1).start()
        return attacker, attacker.ask("bank-1", members=("bank-1", "bank-3"))

    attacker, reply = run()
    attacker.refused(caplog, "bank-1", "members", reply)
    mutants.any_company(monkeypatch)
    attacker, reply = run()
    attacker.refused(caplog, "bank-1", "internal", reply)  # the noise shares look for themselves
    mutants.shares_of(monkeypatch, lambda _, asked: asked)
    attacker, reply = run()
    attacker.refused(caplog, "bank-1", "keys-member", reply)  # and so do the masks
    mutants.any_mask_company(monkeypatch)
    monkeypatch.setattr("tests.adversary.decoder.share_variance", lambda variance, members, _: variance / members)
    attacker, reply = run()
    assert exposed(attacker, "bank-1") == pytest.approx(1 / 2, rel=0.05)


def test_a_colluder_is_listed_several_times_in_an_attempt(caplog, monkeypatch):
    """More members are smaller shares of the noise; these members add none."""
    members = (*THREE, "bank-4", "bank-4", "bank-4")

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        return attacker, {name: attacker.ask(name, members=members) for name in attacker.honest}

    attacker, replies = run()
    for name, reply in replies.items():
        attacker.refused(caplog, name, "roster", reply)
    mutants.no_round_guard(monkeypatch)
    attacker, replies = run()
    for name, reply in replies.items():
        attacker.refused(caplog, name, "keys-member", reply)
    mutants.any_mask_company(monkeypatch)
    attacker, _ = run()
    (leak,) = [leak for leak in leaks(findings(attacker)) if leak.open]
    assert leak.parts_of_sigma == pytest.approx(3 / 6, rel=0.05)


def test_a_roster_that_lists_an_institution_twice(caplog, monkeypatch):
    """A Sybil in the plan: a colluder's id twice, its key under another id, or a new id that nobody has pinned."""
    attacker = Attacker(consortium(), ["bank-4"])
    pinned, document = attacker.plan.roster, attacker.plan.model_dump(mode="json")
    colluder, second = document["roster"]["members"][3], SigningKey.generate()
    for sybil, code in (
        (colluder, "plan"),
        ({**colluder, "id": "bank-5"}, "plan"),
        ({**colluder, "id": "bank-5", "public_key": second.public.hex()}, "roster"),
    ):
        roster = {**document["roster"], "members": [*document["roster"]["members"], sybil]}
        plan = canonical_json({**document, "roster": roster})
        attacker.refused(caplog, "bank-1", code, attacker.send("bank-1", JoinRequest(plan)))
    monkeypatch.setattr(guard, "_guard_consortium", mutants.nothing)
    keys = {**consortium().keys, "bank-5": second}
    attacker = Attacker(replace(consortium(), keys=keys, plan=parse_plan(plan)), ["bank-4", "bank-5"])
    for name in attacker.honest:
        attacker.restart(name, roster=pinned)
    attacker.start().ask_all()
    (leak,) = [leak for leak in leaks(findings(attacker)) if leak.open]
    assert leak.parts_of_sigma == pytest.approx(3 / 4, rel=0.05)  # shares for one colluder, where there are two


def test_a_stranger_is_a_member_of_the_attempt(caplog, monkeypatch):
    """Who is in no roster adds no noise, and makes the shares of the others smaller."""
    strange = (*THREE, "bank-9")

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        return attacker, {name: attacker.ask(name, members=strange) for name in attacker.honest}

    attacker, replies = run()
    for name, reply in replies.items():
        attacker.refused(caplog, name, "roster", reply)
    for members in (THREE[1:], THREE[::-1], ()):
        attacker.refused(caplog, "bank-1", "roster", attacker.ask("bank-1", members=members))
    mutants.no_round_guard(monkeypatch)
    attacker, replies = run()
    for name, reply in replies.items():
        attacker.refused(caplog, name, "keys-member", reply)
    mutants.any_mask_company(monkeypatch)
    attacker, _ = run()
    (leak,) = [leak for leak in leaks(findings(attacker)) if leak.open]
    assert leak.parts_of_sigma == pytest.approx(3 / 4, rel=0.05)


def test_a_member_is_in_and_out_of_the_roster_of_one_attempt(caplog, monkeypatch):
    """The overlap attack: bank-1 is alive for some and dead for others, and peers answer for both."""
    without = ("bank-2", "bank-3", "bank-4")

    def run(attacker):
        attacker.start()
        attacker.ask_all()
        return [attacker.ask(name, members=without) for name in ("bank-2", "bank-3")]

    attacker = Attacker(consortium(), ["bank-4"])
    for name, reply in zip(("bank-2", "bank-3"), run(attacker), strict=True):
        attacker.refused(caplog, name, "replay", reply, charged=1)
    assert len(safe(attacker)) == 1
    mutants.many_uses(monkeypatch)
    mutants.unbound(monkeypatch, "roster_hash")
    mutants.one_noise(monkeypatch)
    mutants.shares_of(monkeypatch, lambda plan, _: len(plan.members) - 1)
    attacker = Attacker(consortium(), ["bank-4"])
    run(attacker)
    # bank-2 alive less bank-2 dead is its stream with bank-1, without any noise; so is bank-3's.
    assert exposed(attacker, "bank-1") == pytest.approx(1 / 3, rel=0.05)


def difference(attacker):
    """The combination in which one institution's vector stands alone."""
    (only,) = [finding for finding in sums(findings(attacker)) if len(finding.content) == 1]
    return only


@pytest.mark.statistical
def test_two_attempts_differ_by_one_member(monkeypatch):
    """What varying rosters shows by design: one institution's vector, at no less than √2 times the plan's noise."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        attacker.ask_all()
        attacker.ask_all(attempt=2, members=("bank-1", "bank-3", "bank-4"))
        return attacker

    attacker = run()
    assert len(safe(attacker)) == 4  # either sum, their sum and their difference
    isolating = difference(attacker)
    assert isolating.content == {"bank-2": 1}
    assert at_least(isolating, 2)
    assert not at_least(isolating, 2 / 0.7**2)  # as if the noise were 0.7 of what it is
    assert [attacker.charged(name) for name in attacker.honest] == [2, 1, 2]
    mutants.one_noise(monkeypatch)
    assert not at_least(difference(run()), 2)


def test_more_members_are_left_out_than_the_policy_allows(caplog, monkeypatch):
    """Leaving out one member after the other isolates each of them."""

    def run(max_drops):
        attacker = Attacker(consortium(5, max_drops=max_drops), ["bank-5"], max_drops=1)
        if max_drops == 2:
            return attacker, attacker.join()
        attacker.start()
        attacker.ask_all()
        four, three = attacker.plan.members[1:], attacker.plan.members[2:]
        attacker.ask_all(attempt=2, members=four)
        return attacker, {name: attacker.ask(name, attempt=3, members=three) for name in ("bank-3", "bank-4")}

    attacker, replies = run(max_drops=2)
    for name, reply in replies.items():
        attacker.refused(caplog, name, "drops", reply)  # the plan wants more than the policy
    attacker, replies = run(max_drops=1)
    for name, reply in replies.items():
        attacker.refused(caplog, name, "drops", reply, charged=2)  # the attempt wants more than the plan
    assert isolated(attacker) == {"bank-1"}
    mutants.no_round_guard(monkeypatch)
    attacker, _ = run(max_drops=1)
    assert isolated(attacker) == {"bank-1", "bank-2"}


def test_a_member_that_was_left_out_returns(caplog, monkeypatch):
    """In and out by turns: everybody is isolated once, within max_drops."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"], max_drops=1).start()
        attacker.ask_all(members=("bank-1", "bank-3", "bank-4"))
        back = ("bank-1", "bank-2", "bank-4")
        return attacker, {name: attacker.ask(name, attempt=2, members=back) for name in ("bank-1", "bank-2")}

    attacker, replies = run()
    attacker.refused(caplog, "bank-1", "members", replies["bank-1"], charged=1)
    assert isinstance(replies["bank-2"], Contribution)  # it was not asked before, and alone it is masked
    assert len(safe(attacker)) == 1
    monkeypatch.setattr(history, "_guard_order", mutants.nothing)
    attacker, _ = run()
    assert len([finding for finding in findings(attacker) if finding.open]) == 4
    assert {"bank-2": -1, "bank-3": 1} in [finding.content for finding in findings(attacker) if finding.open]


def test_a_block_has_too_few_owners(caplog, monkeypatch):
    """One hospital among banks: the sums of its own block are its own, at the noise of one sum."""

    def run():
        attacker = Attacker(consortium(3, hospitals=1), ["bank-3"])
        return attacker, attacker.join(names=["hospital-1"])["hospital-1"]

    attacker, reply = run()
    attacker.refused(caplog, "hospital-1", "owners", reply)
    monkeypatch.setattr(guard_members, "_guard_owners_allowed", mutants.nothing)
    attacker = Attacker(consortium(3, hospitals=1), ["bank-3"]).start()
    attacker.ask_all()
    (only,) = safe(attacker)
    own = next(packet for _, packet in only.parts if packet.sender == "hospital-1")
    block = only.truth.exact(own) != sum(only.truth.exact(packet) for _, packet in only.parts)
    last = slice(-2 * 4096, None)  # the hospital's feature comes last in the dictionary
    assert not block[last].any()
    read = (only.residual - only.truth.exact(own))[last].view(np.int64)
    assert np.var(read) / own.plan.phases.preflight.noise_variance["hospital"] == pytest.approx(1, rel=0.1)


def test_an_old_roster_version_comes_back(caplog, monkeypatch):
    """bank-4 was expelled with version 2; a plan under version 1 would let it in again."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"])
        first = attacker.plan.roster
        second = Roster(version=2, previous=first.digest().hex(), expires=first.expires, members=first.members[:3])
        newer = changed(attacker.plan, job="newer", roster=second.model_dump())
        attacker.restart("bank-1", roster=second)
        assert isinstance(attacker.join(newer, names=["bank-1"])["bank-1"], JoinReply)
        not_pinned = attacker.join(names=["bank-1"])["bank-1"]
        attacker.restart("bank-1", roster=first)
        return attacker, not_pinned, attacker.join(names=["bank-1"])["bank-1"]

    attacker, not_pinned, reply = run()
    attacker.refused(caplog, "bank-1", "roster", not_pinned)
    attacker.refused(caplog, "bank-1", "roster", reply)
    monkeypatch.setattr(OpenJobs, "_guard_roster", mutants.nothing)
    attacker, _, reply = run()
    assert isinstance(reply, JoinReply)
    assert "bank-4" in attacker.plan.members


def test_a_roster_that_has_expired(caplog, monkeypatch):
    def run():
        expired = consortium().plan.roster.model_copy(update={"expires": date(2020, 1, 1)})
        federation = replace(consortium(), plan=changed(consortium().plan, roster=expired.model_dump()))
        attacker = Attacker(federation, ["bank-4"])
        return attacker, attacker.join()

    attacker, replies = run()
    for name, reply in replies.items():
        attacker.refused(caplog, name, "expired", reply)
    monkeypatch.setattr(guard, "_guard_not_expired", mutants.nothing)
    attacker, replies = run()
    attacker.agree()
    attacker.ask_all()
    assert len(safe(attacker)) == 1


def test_the_coordinator_goes_on_after_a_member_stopped_the_roster(caplog, monkeypatch):
    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        stop = StopRequest(attacker.plan.roster.digest())
        forged = attacker.send("bank-1", stop)
        as_member = attacker.send("bank-1", stop, sender="bank-2")
        stopped = attacker.send("bank-1", stop, key=attacker.federation.keys["bank-2"], sender="bank-2")
        assert isinstance(stopped, StopReply)
        return attacker, forged, as_member, attacker.ask("bank-1")

    attacker, forged, as_member, reply = run()
    attacker.refused(caplog, "bank-1", "member", forged)
    attacker.refused(caplog, "bank-1", "signature", as_member)
    attacker.refused(caplog, "bank-1", "stop", reply)
    monkeypatch.setattr(OpenJobs, "_guard_not_stopped", mutants.nothing)
    *_, reply = run()
    assert isinstance(reply, Contribution)
