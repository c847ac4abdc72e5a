"""Attacks on the keys: whose they are, what they were signed for, how often they serve."""

import pytest

from fedcredit.plan import Placement
from fedcredit.secure_aggregation import transcript
from fedcredit.wire.envelope import SIGNATURE_BYTES, Envelope, open_envelope
from fedcredit.wire.envelope import pb as wire
from fedcredit.wire.messages import Contribution, JoinReply, decode_message
from tests.adversary import mutants
from tests.adversary.decoder import exposed, findings, leaks, safe, sums
from tests.adversary.players import Attacker, CorruptMember, consortium, custodian
from tests.fedcredit.secure_aggregation.joined import aliases
from tests.privacy_checks import changed

HALF = pytest.approx(0.5, rel=0.05)  # of three members with t = 1, one alone has half of the plan's noise


def join_of(attacker, name) -> JoinReply:
    envelope = open_envelope(attacker.joins[attacker.plan.digest(), name])
    return decode_message(envelope.kind, envelope.payload)


def rewritten(envelope: Envelope, payload: bytes, signature: bytes) -> bytes:
    """Envelope bytes with a payload and a signature of the attacker's choice."""
    proto = wire.Envelope(
        version=1, kind=wire.Kind.Name(envelope.kind), sender=envelope.sender, payload=payload, signature=signature
    )
    return proto.SerializeToString(deterministic=True)


def test_a_colluder_copies_a_peers_key(caplog, monkeypatch):
    """With three members, bank-2's two masks would be one stream, added and subtracted."""

    def copy(attacker):
        attacker.join()
        copied = join_of(attacker, "bank-1").agreement_key
        return attacker.listed(bank_3=attacker.corrupt["bank-3"].join(attacker.plan, agreement_key=copied))

    attacker = Attacker(consortium(3), ["bank-3"])
    joins = copy(attacker)
    for name in attacker.honest:
        attacker.refused(caplog, name, "keys-shared", attacker.show(name, joins))
    mutants.shared_keys(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    joins = copy(attacker)
    assert not any(attacker.show(name, joins) is None for name in attacker.honest)
    attacker.ask_all()
    assert not safe(attacker)  # the identities in the pair keys still save bank-2
    mutants.unbound(monkeypatch, "pair")
    attacker = Attacker(consortium(3), ["bank-3"])
    joins = copy(attacker)
    for name in attacker.honest:
        attacker.show(name, joins)
    attacker.ask_all()
    assert exposed(attacker, "bank-2") == HALF


def test_a_colluder_shows_a_member_its_own_key(caplog, monkeypatch):
    def run(attacker):
        attacker.join()
        own = join_of(attacker, "bank-3").agreement_key
        joins = attacker.listed(bank_1=attacker.corrupt["bank-1"].join(attacker.plan, agreement_key=own))
        return {name: attacker.show(name, joins) for name in attacker.honest}

    attacker = Attacker(consortium(3), ["bank-1"])
    attacker.refused(caplog, "bank-3", "keys-shared", run(attacker)["bank-3"])
    mutants.shared_keys(monkeypatch)
    mutants.unbound(monkeypatch, "pair")
    attacker = Attacker(consortium(3), ["bank-1"])
    run(attacker)
    attacker.ask_all()
    assert exposed(attacker, "bank-2") == HALF


@pytest.mark.parametrize("alias", [0, 1])
def test_a_colluder_copies_a_key_in_another_encoding(caplog, monkeypatch, alias):
    def run(attacker):
        attacker.join()
        other = aliases(join_of(attacker, "bank-1").agreement_key)[alias]
        joins = attacker.listed(bank_3=attacker.corrupt["bank-3"].join(attacker.plan, agreement_key=other))
        return {name: attacker.show(name, joins) for name in attacker.honest}

    attacker = Attacker(consortium(3), ["bank-3"])
    for name, reply in run(attacker).items():
        attacker.refused(caplog, name, "keys-shared", reply)
    monkeypatch.setattr(transcript, "secret_class", lambda public: public)  # compares bytes, not what keys do
    mutants.unbound(monkeypatch, "pair")
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker)
    attacker.ask_all()
    assert exposed(attacker, "bank-2") == HALF


def test_the_coordinator_puts_its_own_keys_in_honest_joins(caplog, monkeypatch):
    """The man in the middle: bank-2 would share a secret with the attacker in place of every peer."""

    def run(attacker):
        attacker.join()
        plan, fake = attacker.plan, {}
        for name in ("bank-1", "bank-3"):
            member = CorruptMember(name, attacker.key)
            attacker.view.learn(member.agreement)
            fake[name.replace("-", "_")] = member.join(plan)
        return attacker.show("bank-2", attacker.listed(**fake))

    attacker = Attacker(consortium(), ["bank-4"])
    attacker.refused(caplog, "bank-2", "keys-signature", run(attacker))
    mutants.unsigned_joins(monkeypatch)
    mutants.unwitnessed(monkeypatch)
    attacker = Attacker(consortium(), ["bank-4"])
    run(attacker)
    assert isinstance(attacker.ask("bank-2"), Contribution)
    assert exposed(attacker, "bank-2") == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize("signature", ["none", "old", "colluder's"])
def test_a_join_is_unsigned_or_forged(caplog, monkeypatch, signature):
    def run(attacker):
        attacker.join()
        envelope = open_envelope(attacker.joins[attacker.plan.digest(), "bank-1"])
        forger = CorruptMember("bank-1", attacker.federation.keys["bank-3"])
        attacker.view.learn(forger.agreement)
        forged = open_envelope(forger.join(attacker.plan))
        chosen = {"none": bytes(SIGNATURE_BYTES), "old": envelope.signature, "colluder's": forged.signature}
        return attacker.show("bank-2", attacker.listed(bank_1=rewritten(forged, forged.payload, chosen[signature])))

    attacker = Attacker(consortium(3), ["bank-3"])
    attacker.refused(caplog, "bank-2", "keys-signature", run(attacker))
    mutants.unsigned_joins(monkeypatch)
    mutants.unwitnessed(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker)
    assert isinstance(attacker.ask("bank-2"), Contribution)
    assert exposed(attacker, "bank-2") == HALF


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
def test_a_member_sends_a_key_of_small_order(caplog, monkeypatch, point):
    """Its masks could be taken off by whoever listens, without any key."""

    def run(attacker, key):
        attacker.join()
        attacker.view.agreement_keys.clear()
        joins = attacker.listed(bank_3=attacker.corrupt["bank-3"].join(attacker.plan, **key))
        return {name: attacker.show(name, joins) for name in attacker.honest}

    attacker = Attacker(consortium(3), ["bank-3"])
    for name, reply in run(attacker, {"agreement_key": point}).items():
        attacker.refused(caplog, name, "keys-zero", reply)
    run(attacker, {})
    attacker.ask_all()
    assert not safe(attacker)
    mutants.zero_secrets(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker, {"agreement_key": bytes(32)})
    attacker.ask_all()
    assert [finding.content for finding in sums(findings(attacker))] == [{"bank-1": 1, "bank-2": 1}]


def test_a_key_serves_in_two_jobs(caplog, monkeypatch):
    """A member's key of the first job leaks; in the second it serves again, and would unmask it there."""
    everybody = {name: custodian(consortium(3), name) for name in ("bank-1", "bank-2", "bank-3")}

    def run(attacker):
        attacker.start()
        leaked = attacker.corrupt["bank-3"].agreement
        second = changed(attacker.plan, job="second")
        attacker.join(second)
        assert attacker.view.agreement_keys == {leaked.public_key().public_bytes_raw(): leaked}
        return second, {name: attacker.show(name, attacker.listed(second), second) for name in attacker.honest}

    attacker = Attacker(consortium(3), ["bank-3"])
    second, replies = run(attacker)
    for name, reply in replies.items():
        attacker.refused(caplog, name, "keys-reused", reply)
    attacker.corrupt["bank-3"] = CorruptMember("bank-3", attacker.federation.keys["bank-3"])
    attacker.join(second)
    attacker.agree(second)
    attacker.ask_all(plan=second)
    assert not safe(attacker, honest=everybody)
    mutants.forgotten_keys(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    second, _ = run(attacker)
    attacker.ask_all(plan=second)
    (leak,) = leaks(findings(attacker, honest=everybody))
    assert leak.open


def test_a_peers_key_of_an_earlier_epoch_is_shown_again(caplog, monkeypatch):
    """bank-1's memory leaked before it restarted; the key in it must not serve once its peers know the new one."""

    def run(attacker):
        attacker.start()
        old = attacker.listed()
        attacker.view.learn(
            attacker.honest["bank-1"]._agreements._secrets[attacker.plan.digest()].agreement._private_key()
        )
        attacker.restart("bank-1")
        attacker.join(names=["bank-1"])
        attacker.agree()
        assert join_of(attacker, "bank-1").key_epoch == 2
        return attacker.show("bank-2", old)

    attacker = Attacker(consortium(3), ["bank-3"])
    attacker.refused(caplog, "bank-2", "keys-epoch", run(attacker))
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    mutants.forgotten_keys(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker)
    assert isinstance(attacker.ask("bank-2"), Contribution)
    assert exposed(attacker, "bank-2") == HALF


def test_a_colluder_signs_two_keys_for_one_epoch(caplog, monkeypatch):
    """One list of joins after the other, in each of which the colluder is somebody else."""

    def run(attacker):
        attacker.start()
        second = CorruptMember("bank-4", attacker.federation.keys["bank-4"])
        attacker.view.learn(second.agreement)
        return attacker.show("bank-2", attacker.listed(bank_4=second.join(attacker.plan)))

    attacker = Attacker(consortium(), ["bank-4"])
    attacker.refused(caplog, "bank-2", "keys-epoch", run(attacker))
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    mutants.forgotten_keys(monkeypatch)
    mutants.unsalted(monkeypatch)
    mutants.unwitnessed(monkeypatch)
    attacker = Attacker(consortium(), ["bank-4"])
    run(attacker)
    attacker.ask_all()
    # Members that were shown different keys add up, and none of them notices.
    assert [leak.content for leak in leaks(findings(attacker)) if leak.open] == [
        {"bank-1": 1, "bank-2": 1, "bank-3": 1}
    ]


def test_an_old_join_is_replayed_after_the_victims_restart(caplog, monkeypatch):
    """bank-2's memory leaked before it restarted. Its old join would bring the leaked key back."""

    def run(attacker):
        attacker.start()
        old = attacker.listed()
        leaked = attacker.honest["bank-2"]._agreements._secrets[attacker.plan.digest()].agreement
        attacker.view.learn(leaked._private_key())
        attacker.restart("bank-2")
        missing = attacker.ask("bank-2")
        attacker.join(names=["bank-2"])
        return missing, attacker.show("bank-2", old)

    attacker = Attacker(consortium(3), ["bank-3"])
    missing, reply = run(attacker)
    attacker.refused(caplog, "bank-2", "keys-missing", missing)
    attacker.refused(caplog, "bank-2", "keys-own", reply)
    attacker.agree()
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    monkeypatch.setattr(transcript, "_check_own", mutants.nothing)
    attacker = Attacker(consortium(3), ["bank-3"])
    attacker.refused(caplog, "bank-2", "keys-own", run(attacker)[1])  # the pair secrets look for themselves
    mutants.kept_keys(monkeypatch, members=2, again=(1,))
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker)
    assert isinstance(attacker.ask("bank-2"), Contribution)
    assert exposed(attacker, "bank-2") == HALF


def test_joins_of_another_job_are_replayed(caplog, monkeypatch):
    """The second job's keys are known to have leaked with a stolen disk image; shown in the first, they would serve."""

    def run(attacker):
        other = changed(attacker.plan, job="second")
        attacker.join(other)
        stolen = attacker.honest["bank-1"]._agreements._secrets[other.digest()].agreement
        attacker.view.learn(stolen._private_key())
        attacker.join()
        return attacker.show("bank-2", attacker.listed(bank_1=attacker.joins[other.digest(), "bank-1"]))

    attacker = Attacker(consortium(3), ["bank-3"])
    attacker.refused(caplog, "bank-2", "keys-job", run(attacker))
    mutants.any_job(monkeypatch)
    mutants.unwitnessed(monkeypatch)
    attacker = Attacker(consortium(3), ["bank-3"])
    run(attacker)
    assert isinstance(attacker.ask("bank-2"), Contribution)
    assert exposed(attacker, "bank-2") == HALF


def test_an_institution_is_listed_twice_among_the_joins(caplog, monkeypatch):
    """A colluder with two places, or in another's place."""
    attacker = Attacker(consortium(), ["bank-4"])
    attacker.join()
    twice = (*attacker.listed(), attacker.joins[attacker.plan.digest(), "bank-4"])
    attacker.refused(caplog, "bank-2", "keys-member", attacker.show("bank-2", twice))
    stranger = CorruptMember("bank-9", attacker.federation.keys["bank-4"])
    unknown = (*attacker.listed(), stranger.join(attacker.plan))
    attacker.refused(caplog, "bank-2", "keys-member", attacker.show("bank-2", unknown))
    few = attacker.listed()[1::2]
    attacker.refused(caplog, "bank-2", "keys-few", attacker.show("bank-2", few))
    attacker.agree()
    attacker.ask_all()
    assert len(safe(attacker)) == 1
    monkeypatch.setattr(transcript, "_check_members", mutants.nothing)
    mutants.any_company(monkeypatch)
    mutants.any_mask_company(monkeypatch)
    attacker = Attacker(consortium(placement=Placement.LOCAL), ["bank-4"])
    attacker.join()
    attacker.show("bank-2", attacker.listed()[1::2])
    assert isinstance(attacker.ask("bank-2", members=("bank-2", "bank-4")), Contribution)
    assert exposed(attacker, "bank-2") == pytest.approx(1, rel=0.05)
