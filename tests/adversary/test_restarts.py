"""Attacks on memory: restarts, forks, clones and restored snapshots of a custodian.

A fork is two custodians that hold the same keys and equal copies of the ledger: whatever a forked process or a cloned
machine holds, and nothing else.
"""

import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.evaluation.phase import ScoredModel
from fedcredit.privacy.ledger import Ledger
from fedcredit.secure_aggregation import agreement
from fedcredit.wire.messages import Contribution, Receipt, ReleaseRequest, Role
from tests.adversary import mutants
from tests.adversary.decoder import findings, leaks, safe, sums
from tests.adversary.players import ROUNDS, Attacker, consortium, scorecard

MEMBERS = ("bank-1", "bank-2", "bank-3")


def copied(ledger: Ledger, key) -> Ledger:
    """A ledger in memory with the same content."""
    other = Ledger(None, key)
    ledger._connection.backup(other._connection)
    return other


def forked(one: Custodian) -> Custodian:
    """A second process with everything that the first one holds in memory and on disk."""
    other = Custodian(one._site, copied(one.ledger, one._site.key))
    other._agreements._secrets.update(one._agreements._secrets)
    return other


def test_a_restart_between_two_attempts(caplog, monkeypatch):
    """New keys under a higher epoch, and neither a mask nor noise comes twice."""

    def run():
        attacker = Attacker(consortium(3), ["bank-3"]).start()
        attacker.ask_all()
        attacker.restart("bank-2")
        refused = attacker.ask("bank-2", attempt=2)
        attacker.join(names=["bank-2"])
        attacker.agree()
        attacker.ask_all(attempt=2)
        return attacker, refused

    attacker, refused = run()
    attacker.refused(caplog, "bank-2", "keys-missing", refused, charged=2)
    assert len(safe(attacker)) == 4
    (difference,) = [finding for finding in sums(findings(attacker)) if not finding.content]
    assert difference.parts_of_sigma == pytest.approx(2, rel=0.05)
    epochs = [event["key_epoch"] for event in attacker.honest["bank-2"].ledger.notes("epoch")]
    keys = {event["agreement_key"] for event in attacker.honest["bank-2"].ledger.notes("epoch")}
    assert (epochs, len(keys)) == ([1, 2], 2)
    mutants.one_noise(monkeypatch)
    attacker, _ = run()
    (difference,) = [leak for leak in leaks(findings(attacker)) if leak.open and not leak.content]
    assert difference.parts_of_sigma == pytest.approx(1, rel=0.05)  # only the restarted one has other noise


def test_a_fork_asked_the_same_gives_the_same_bytes(monkeypatch):
    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        first, second = attacker.honest["bank-1"], forked(attacker.honest["bank-1"])
        one = attacker.ask("bank-1")
        attacker.honest["bank-1"] = second
        return attacker, one, attacker.ask("bank-1"), first

    attacker, one, other, first = run()
    assert isinstance(one, Contribution)
    assert one == other
    assert first.ledger.event_count == attacker.honest["bank-1"].ledger.event_count
    for name in MEMBERS[1:]:
        attacker.ask(name)
    assert len(safe(attacker)) == 1
    counter = iter(range(10))
    monkeypatch.setattr("fedcredit.custodian.custodian.vector_context", lambda *_: str(next(counter)).encode())
    attacker, *_ = run()  # noise from a generator that runs on: the fork averages it away
    assert [leak.content for leak in leaks(findings(attacker)) if leak.open] == [{}]


def test_a_fork_asked_something_else(monkeypatch):
    """Two models in one attempt, one for each: under one mask and one noise the difference would be exact."""
    models = [ScoredModel(-4096, 4096, scorecard(weight)).encode() for weight in (0, 2000)]

    def run():
        attacker = Attacker(consortium(), ["bank-4"]).start()
        attacker.ask_all(Role.TRAIN, round=ROUNDS, model=scorecard())
        other = forked(attacker.honest["bank-1"])
        attacker.ask_all(Role.EVALUATE, model=models[0])
        attacker.honest["bank-1"] = other
        assert isinstance(attacker.ask("bank-1", Role.EVALUATE, model=models[1]), Contribution)
        return attacker

    assert len(safe(run(), Role.EVALUATE)) == 1
    mutants.unbound(monkeypatch, "model_hash")
    mutants.one_noise(monkeypatch)
    found = [leak for leak in leaks(findings(run(), Role.EVALUATE)) if leak.open and not leak.noise.any()]
    assert any(leak.residual.any() for leak in found)


def test_a_snapshot_of_the_disk_is_restored(monkeypatch):
    """The ledger forgets an answer that left; the process has new keys, so that the second answer is no second look."""

    def run(keep_keys=False):
        attacker = Attacker(consortium(), ["bank-4"]).start()
        before = attacker.honest["bank-1"]
        backup = copied(before.ledger, before._site.key)
        attacker.ask_all()
        attacker.honest["bank-1"] = Custodian(before._site, backup)
        if keep_keys:
            attacker.honest["bank-1"]._agreements._secrets.update(before._agreements._secrets)
            return attacker
        attacker.join(names=["bank-1"])
        attacker.show("bank-1", attacker.listed())
        return attacker

    attacker = run()
    attacker.show("bank-2", attacker.listed())  # what it says it has seen is as old as the attacker's word
    reply = attacker.ask("bank-1")
    assert isinstance(reply, Contribution), reply
    assert len(safe(attacker)) == 1
    # Agreement keys from a disk, and noise that is drawn anew: one mask twice, and noise that averages away.
    monkeypatch.setattr("fedcredit.custodian.custodian.vector_context", lambda *_: agreement.os.urandom(32))
    attacker = run(keep_keys=True)
    attacker.ask("bank-1")
    assert [leak.content for leak in leaks(findings(attacker)) if leak.open and len(leak.parts) == 2] == [{}]


def test_a_ledger_from_before_the_join_is_restored(caplog, monkeypatch):
    """The epoch starts again with another key: the peers remember and refuse; the victim's budget is its operator's."""

    def run():
        attacker = Attacker(consortium(3), ["bank-3"])
        site = attacker.honest["bank-1"]._site
        backup = copied(attacker.honest["bank-1"].ledger, site.key)
        attacker.start()
        attacker.ask_all()
        attacker.honest["bank-1"] = Custodian(site, backup)
        attacker.join(names=["bank-1"])
        assert attacker.honest["bank-1"].ledger.notes("epoch")[-1]["key_epoch"] == 1
        return attacker, attacker.show("bank-2", attacker.listed())

    attacker, reply = run()
    attacker.refused(caplog, "bank-2", "keys-epoch", reply, charged=1)
    attacker.show("bank-1", attacker.listed())
    attacker.refused(caplog, "bank-1", "witness", attacker.ask("bank-1"))
    assert len(safe(attacker)) == 1
    mutants.forgotten_keys(monkeypatch)
    attacker, reply = run()
    attacker.show("bank-1", attacker.listed())
    attacker.refused(caplog, "bank-1", "rolled-back", attacker.ask("bank-1", attempt=2))
    mutants.unwitnessed(monkeypatch)
    attacker, reply = run()
    attacker.show("bank-1", attacker.listed())
    for name in attacker.honest:
        attacker.ask(name, attempt=2)
    # A second sum of all, for one of whom the first was never charged.
    assert attacker.charged("bank-1") == 1
    assert {"bank-1": 2, "bank-2": 2} in [finding.content for finding in sums(findings(attacker))]


def test_a_join_asked_again_draws_nothing():
    """Only a new process has a new key: whoever asks for joins over and over sees one."""
    attacker = Attacker(consortium(3), ["bank-3"])
    first, again = (attacker.join(names=["bank-1"])["bank-1"] for _ in range(2))
    assert first == again
    assert len(attacker.honest["bank-1"].ledger.notes("epoch")) == 1


def test_a_released_jobs_secrets_are_gone(caplog):
    attacker = Attacker(consortium(3), ["bank-3"]).start()
    secrets = attacker.honest["bank-1"]._agreements._secrets[attacker.plan.digest()]
    assert isinstance(attacker.send("bank-1", ReleaseRequest(attacker.plan.digest(), b"{}")), Receipt)
    attacker.refused(caplog, "bank-1", "job", attacker.ask("bank-1"))
    assert not any(secrets.agreement._key)
    assert not secrets.pairs._secrets
    attacker.refused(caplog, "bank-1", "ledger", attacker.join(names=["bank-1"])["bank-1"])
