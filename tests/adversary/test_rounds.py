"""Attacks on the order of a job: the same round again, rounds that are over, rounds that are not yet due."""

import pytest

from fedcredit.custodian import custodian as custodian_module
from fedcredit.evaluation.phase import ScoredModel
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.messages import Contribution, Role
from tests.adversary import mutants
from tests.adversary.decoder import exposed, findings, leaks, safe, sums
from tests.adversary.players import ROUNDS, Attacker, CorruptMember, consortium, scorecard
from tests.privacy_checks import changed, check_charged

MEMBERS = ("bank-1", "bank-2", "bank-3")


@pytest.fixture
def attacker():
    return Attacker(consortium(), ["bank-4"]).start()


def twice_the_sum(attacker) -> float:
    """Noise on the sum of two sums over everybody: two looks at the same vectors, in parts of sigma²."""
    (both,) = [finding for finding in sums(findings(attacker)) if set(finding.content.values()) == {2}]
    return both.parts_of_sigma


def scored(weight: int) -> bytes:
    return ScoredModel(-4096, 4096, scorecard(weight)).encode()


def trained(attacker) -> None:
    attacker.ask_all(Role.TRAIN, round=ROUNDS, model=scorecard())


def test_a_late_packet_completes_the_sum_of_a_dead_attempt(attacker, monkeypatch):
    """bank-3's first packet is late, the round is asked again, and then the late packet arrives.

    Both sums are the attacker's, and both are paid for. A ledger that forgot the dead attempt would give one away.
    """
    for name in MEMBERS:
        attacker.ask(name)
    late = attacker.view.packets.pop()
    assert not safe(attacker)
    attacker.ask_all(attempt=2)
    assert len(safe(attacker)) == 1
    attacker.view.keep(late)
    assert len(safe(attacker)) == 4
    assert twice_the_sum(attacker) == pytest.approx(2, rel=0.05)
    for name, one in attacker.honest.items():
        sent = [packet.message for packet in attacker.view.packets if packet.sender == name]
        check_charged(one.ledger, attacker.plan, "bank", sent)
        assert attacker.charged(name) == 2
    commit = Ledger.commit

    def forgets_retries(ledger, charge, seal):
        return seal(ledger.event_count, bytes(32)) if charge.slot.attempt > 1 else commit(ledger, charge, seal)

    monkeypatch.setattr(Ledger, "commit", forgets_retries)
    mutant = Attacker(consortium(), ["bank-4"]).start()
    mutant.ask_all()
    mutant.ask_all(attempt=2)
    assert twice_the_sum(mutant) == pytest.approx(2, rel=0.05)
    sent = [packet.message for packet in mutant.view.packets if packet.sender == "bank-1"]
    with pytest.raises(AssertionError):
        check_charged(mutant.honest["bank-1"].ledger, mutant.plan, "bank", sent)


def test_a_round_is_asked_twice_with_different_weights(caplog, monkeypatch):
    """Under one mask, the difference of two answers would be one institution's own."""

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        trained(attacker)
        attacker.ask_all(Role.EVALUATE, model=scored(0))
        replies = {
            attempt: attacker.ask("bank-1", Role.EVALUATE, model=scored(2000), attempt=attempt) for attempt in (1, 2)
        }
        return attacker, replies

    attacker, replies = run()
    attacker.refused(caplog, "bank-1", "replay", replies[1], charged=2)
    attacker.refused(caplog, "bank-1", "model", replies[2], charged=2)
    assert len(safe(attacker, Role.EVALUATE)) == 1
    mutants.many_uses(monkeypatch)
    mutants.no_history(monkeypatch)
    mutants.unbound(monkeypatch, "model_hash", "attempt")
    mutants.one_noise(monkeypatch)
    attacker, _ = run()
    alone = [
        leak
        for leak in leaks(findings(attacker, Role.EVALUATE))
        if leak.open and {packet.sender for _, packet in leak.parts} == {"bank-1"}
    ]
    exact = [leak for leak in alone if not leak.noise.any()]
    assert any(leak.residual.any() for leak in exact)


def test_the_same_request_again_is_the_same_bytes(attacker, monkeypatch):
    """Fresh noise for each resend would average away, and cost nothing."""
    first = [attacker.ask(name) for name in MEMBERS]
    again = [attacker.ask(name) for name in MEMBERS]
    assert first == again
    assert [attacker.charged(name) for name in MEMBERS] == [1, 1, 1]
    assert len(safe(attacker)) == 1
    attacker.restart("bank-1")
    assert attacker.ask("bank-1") == first[0]
    mutants.many_uses(monkeypatch)
    monkeypatch.setattr(custodian_module, "vector_context", fresh_context())
    attacker = Attacker(consortium(), ["bank-4"]).start()
    for _ in range(2):
        attacker.ask_all()
    assert [attacker.charged(name) for name in MEMBERS] == [0, 0, 0]
    assert any(leak.open for leak in leaks(findings(attacker)))
    assert twice_the_sum(attacker) == pytest.approx(2, rel=0.05)


def fresh_context():
    """A noise context that is another one every time."""
    drawn = []

    def context(*_):
        drawn.append(b"")
        return str(len(drawn)).encode()

    return context


def test_an_attempt_beyond_the_limit(caplog, attacker, monkeypatch):
    """Every further attempt is another look at the same vectors."""
    for attempt in (1, 2, 3):
        attacker.ask_all(attempt=attempt)
    for attempt in (4, 2**31):
        attacker.refused(caplog, "bank-1", "attempt", attacker.ask("bank-1", attempt=attempt), charged=3)
    mutants.no_round_guard(monkeypatch)
    attacker.ask_all(attempt=4)
    attacker.view.packets = attacker.view.packets[-6:]
    assert twice_the_sum(attacker) == pytest.approx(2, rel=0.05)


def test_retries_beyond_the_reserve(caplog, attacker, monkeypatch):
    """What the plan keeps for retries bounds how often all vectors are looked at again."""
    trained(attacker)
    attacker.ask_all(Role.TRAIN, round=ROUNDS, attempt=2, model=scorecard())
    reply = attacker.ask("bank-1", Role.TRAIN, round=ROUNDS, attempt=3, model=scorecard())
    while isinstance(reply, Contribution):
        reply = attacker.ask("bank-1", Role.EVALUATE, attempt=reply.attempt + 1, model=scored(0))
    attacker.refused(caplog, "bank-1", "budget", reply, charged=attacker.charged("bank-1"))
    job = attacker.honest["bank-1"].ledger.job(attacker.plan.digest())
    assert job.spent <= job.reserved
    monkeypatch.setattr(Ledger, "_check_affordable", mutants.nothing)
    assert isinstance(attacker.ask("bank-1", Role.EVALUATE, attempt=3, model=scored(0)), Contribution)


def test_attempts_go_up_with_a_gap_and_back_again(caplog, attacker, monkeypatch):
    attacker.ask_all(attempt=3)
    for attempt in (1, 2):
        attacker.refused(caplog, "bank-1", "attempt", attacker.ask("bank-1", attempt=attempt), charged=1)
    assert len(safe(attacker)) == 1
    mutants.no_history(monkeypatch)
    attacker.ask_all(attempt=2)
    assert twice_the_sum(attacker) == pytest.approx(2, rel=0.05)


def test_a_round_that_is_over(caplog, attacker, monkeypatch):
    """A coordinator that has seen round 2 would ask round 1 with weights that it chose afterwards."""
    attacker.ask_all(Role.TRAIN, round=2, model=scorecard())
    again = {"round": 1, "model": scorecard(500)}
    attacker.refused(caplog, "bank-1", "order", attacker.ask("bank-1", Role.TRAIN, **again), charged=1)
    attacker.refused(caplog, "bank-1", "order", attacker.ask("bank-1"), charged=1)
    mutants.no_history(monkeypatch)
    attacker.ask_all(Role.TRAIN, **again)
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    assert len(sums(findings(attacker, Role.TRAIN))) == 4  # both rounds, their sum and their difference


@pytest.mark.parametrize("place", [(Role.TRAIN, ROUNDS + 1), (Role.TRAIN, 0), (Role.PREFLIGHT, 2), (Role.EVALUATE, 2)])
def test_a_round_beyond_the_plan(caplog, attacker, monkeypatch, place):
    role, round_ = place
    model = {Role.PREFLIGHT: b"", Role.TRAIN: scorecard(), Role.EVALUATE: scored(0)}[role]
    asked = {"round": round_, "model": model}
    attacker.refused(caplog, "bank-1", "round", attacker.ask("bank-1", role, **asked))
    mutants.no_round_guard(monkeypatch)
    mutants.no_history(monkeypatch)
    attacker.ask_all(role, **asked)
    assert [attacker.charged(name) for name in MEMBERS] == [1, 1, 1]
    (extra,) = sums(findings(attacker, role))
    assert extra.content == dict.fromkeys(MEMBERS, 1)


def test_the_evaluation_is_asked_before_training_is_over(caplog, attacker, monkeypatch):
    """Rounds after an evaluation would be fitted to the evaluation rows."""
    early = attacker.ask("bank-1", Role.EVALUATE, model=scored(0))
    attacker.refused(caplog, "bank-1", "order", early)
    attacker.ask_all(Role.TRAIN, round=1, model=scorecard())
    early = attacker.ask("bank-1", Role.EVALUATE, model=scored(0))
    attacker.refused(caplog, "bank-1", "order", early, charged=1)
    mutants.no_history(monkeypatch)
    attacker.ask_all(Role.EVALUATE, model=scored(0))
    attacker.ask_all(Role.TRAIN, round=2, model=scorecard())
    assert len(safe(attacker, Role.EVALUATE)) == 1


def test_a_message_for_another_job(caplog, monkeypatch):
    """A request of one job in another: by its hash, by its keys, or before anything was agreed to."""
    attacker = Attacker(consortium(3), ["bank-3"]).start()
    second = changed(attacker.plan, job="second")
    attacker.refused(caplog, "bank-1", "job", attacker.ask("bank-1", plan=second))
    attacker.join(second)
    attacker.refused(caplog, "bank-1", "keys-stale", attacker.ask("bank-1", plan=second))
    attacker.refused(caplog, "bank-1", "keys-own", attacker.show("bank-1", attacker.listed(), second))
    fresh = {"bank_3": CorruptMember("bank-3", attacker.federation.keys["bank-3"]).join(second)}
    attacker.agree(second, **fresh)
    own, theirs = (attacker.shown[plan.digest(), "bank-1"] for plan in (second, attacker.plan))
    attacker.shown[second.digest(), "bank-1"] = theirs
    attacker.refused(caplog, "bank-1", "keys-stale", attacker.ask("bank-1", plan=second))
    attacker.shown[second.digest(), "bank-1"] = own
    for plan in (attacker.plan, second):
        attacker.ask_all(plan=plan)
    assert len(safe(attacker)) == 1  # the first job's; in the second, the colluder's new key is nobody's here
    # Agreement keys for more than one job, and pair keys that do not name it: one mask for two vectors.
    mutants.forgotten_keys(monkeypatch)
    mutants.unsalted(monkeypatch)
    mutants.unbound(monkeypatch, "job", "plan_hash")
    mutants.kept_keys(monkeypatch, members=2, again=(0, 1))
    attacker = Attacker(consortium(3), ["bank-3"])
    for plan in (attacker.plan, second):
        attacker.join(plan)
        attacker.agree(plan)
        attacker.ask_all(plan=plan)
    open_leaks = [leak for leak in leaks(findings(attacker)) if leak.open]
    assert {"bank-1"} in [{packet.sender for _, packet in leak.parts} for leak in open_leaks]


def test_the_job_that_another_coordinator_leads(caplog, attacker, monkeypatch):
    """A second coordinator on the site's list has no part in the first one's job."""
    key, known = attacker.federation.keys["bank-4"], attacker.honest["bank-1"]._site.coordinators
    attacker.restart("bank-1", coordinators={**known, "rival": key.public})
    attacker.join(names=["bank-1"])
    attacker.agree()
    asked = attacker.request(
        transcript_hash=attacker.honest["bank-1"]._agreements._secrets[attacker.plan.digest()].pairs.transcript.digest
    )
    reply = attacker.send("bank-1", asked, key=key, sender="rival")
    attacker.refused(caplog, "bank-1", "coordinator", reply)
    reply = attacker.send("bank-1", asked, key=key, sender="nobody")
    attacker.refused(caplog, "bank-1", "coordinator", reply)
    reply = attacker.send("bank-1", asked, key=key)
    attacker.refused(caplog, "bank-1", "signature", reply)
    monkeypatch.setattr("fedcredit.custodian.open_jobs.guard_sender", mutants.nothing)
    assert isinstance(attacker.send("bank-1", asked, key=key, sender="rival"), Contribution)


def test_who_is_dropped_is_not_exposed_by_whoever_stays(attacker):
    """An attempt that never completes, in any order of arrival, shows nothing."""
    attacker.ask("bank-2")
    attacker.ask("bank-1")
    assert not safe(attacker)
    attacker.ask_all(attempt=3, members=("bank-1", "bank-2", "bank-4"))
    (only,) = safe(attacker)
    assert only.content == {"bank-1": 1, "bank-2": 1}
    with pytest.raises(AssertionError):
        exposed(attacker, "bank-1")
