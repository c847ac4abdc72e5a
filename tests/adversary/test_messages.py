"""Attacks by the bytes of a message: too many of them, weights that are none, messages that nobody may send."""

import numpy as np
import pytest

from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import guard
from fedcredit.models import mlp_model, scorecard_model
from fedcredit.models.mlp_inputs import INPUT_BOUND
from fedcredit.models.mlp_layout import vector_length
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.scorecard_spec import MARGIN_LIMIT
from fedcredit.plan import MAX_PLAN_BYTES
from fedcredit.wire import messages
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import MAX_MESSAGE_BYTES, Contribution, JoinRequest, Role
from tests.adversary import mutants
from tests.adversary.decoder import findings, safe, sums
from tests.adversary.players import Attacker, consortium, scorecard
from tests.tiny import dictionary as small_dictionary

CELLS = 13 * 4096


@pytest.fixture
def attacker():
    return Attacker(consortium(), ["bank-4"]).start()


def raw(attacker, packet: bytes):
    """Bytes of the attacker's choice, not even an envelope."""
    reply = open_envelope(attacker.honest["bank-1"].handle(packet))
    return reply.verify(attacker.federation.keys["bank-1"].public)


def test_an_oversize_message(caplog, attacker, monkeypatch):
    reply = raw(attacker, bytes(MAX_MESSAGE_BYTES + 1))
    attacker.refused(caplog, "bank-1", "wire", reply)
    assert "over the limit" in reply.text
    attacker.refused(caplog, "bank-1", "plan", attacker.send("bank-1", JoinRequest(b" " * (MAX_PLAN_BYTES + 1))))
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 2**16)
    large = {"model": bytes(2**16), "round": 1}
    reply = attacker.ask("bank-1", Role.TRAIN, **large)
    attacker.refused(caplog, "bank-1", "wire", reply)
    assert "over the limit" in reply.text
    monkeypatch.undo()
    reply = attacker.ask("bank-1", Role.TRAIN, **large)  # without the limit it is read, and refused as a model
    assert "over the limit" not in reply.text


def with_weight(place: int, weight: int) -> bytes:
    """A scorecard with one other weight."""
    model = bytearray(scorecard())
    at = 2 * CELLS + 4 * place
    model[at : at + 4] = int(weight).to_bytes(4, "little", signed=True)
    return bytes(model)


ABSURD = {
    "a weight above the limit": lambda: with_weight(0, MARGIN_LIMIT + 1),
    "a weight below the limit": lambda: with_weight(1, -MARGIN_LIMIT - 1),
    "the largest integer": lambda: with_weight(0, 2**31 - 1),
    "NaN, as a float of the same size": lambda: scorecard()[: 2 * CELLS] + np.full(210, np.nan, "<f4").tobytes(),
    "infinity, as a float of the same size": lambda: scorecard()[: 2 * CELLS] + np.full(210, np.inf, "<f4").tobytes(),
    "doubles": lambda: scorecard()[: 2 * CELLS] + np.zeros(210, "<f8").tobytes(),
    "a weight on a bin that no cell has": lambda: with_weight(5, 1),
    "a bin that is none": lambda: b"\xff\xff" + scorecard()[2:],
    "nothing": lambda: b"{}",
}


@pytest.mark.parametrize("absurd", ABSURD)
def test_weights_that_are_not_finite_or_absurd(caplog, attacker, monkeypatch, absurd):
    """No float travels, so NaN and infinity are integers out of bounds; and bounds there are."""
    model = ABSURD[absurd]()
    attacker.refused(caplog, "bank-1", "wire", attacker.ask("bank-1", Role.TRAIN, model=model))
    if "weight" not in absurd and "integer" not in absurd:
        return
    decode = scorecard_model.decode

    def lenient(spec, names, data):
        bounded = decode(spec, names, scorecard())
        weights = np.frombuffer(data, "<i4", offset=2 * CELLS).astype(np.int64)
        return scorecard_model.ScorecardModel(bounded.bin_of_cell, weights)

    monkeypatch.setattr(scorecard_model, "decode", lenient)
    attacker.ask_all(Role.TRAIN, model=model)
    # Answered, and summed. The residual's table bounds what any weight makes of a record, so the charge still holds.
    (only,) = sums(findings(attacker, Role.TRAIN))
    assert only.content == {"bank-1": 1, "bank-2": 1, "bank-3": 1}


@pytest.mark.parametrize("absurd", ["weight", "input", "length", "double"])
def test_a_perceptrons_weights_that_are_absurd(absurd):
    """The same for the other family; its decoder alone, which needs no torch."""
    spec, names = MlpSpec(), small_dictionary()
    cells = sum(feature.n_cells for feature in names.features)
    inputs, weights = np.zeros(cells, "<i2"), np.zeros(vector_length(spec, names), "<i4")
    sound = inputs.tobytes() + weights.tobytes()
    assert mlp_model.decode(spec, names, sound).encode() == sound
    if absurd == "weight":
        weights[3] = -(2**31)
    if absurd == "input":
        inputs[0] = INPUT_BOUND + 1
    data = {"length": sound[:-4], "double": inputs.tobytes() + weights.astype("<f8").tobytes()}
    with pytest.raises(Exception, match=r"bytes|ranges"):
        mlp_model.decode(spec, names, data.get(absurd, inputs.tobytes() + weights.tobytes()))


def test_a_preflight_with_a_model_and_a_round_without(caplog, attacker, monkeypatch):
    attacker.refused(caplog, "bank-1", "model", attacker.ask("bank-1", model=scorecard()))
    attacker.refused(caplog, "bank-1", "model", attacker.ask("bank-1", Role.TRAIN, model=b""))
    mutants.no_round_guard(monkeypatch)
    reply = attacker.ask("bank-1", model=scorecard())
    assert isinstance(reply, Contribution)
    attacker.ask("bank-2")
    attacker.ask("bank-3")
    assert not sums(findings(attacker))  # members that got different ones do not cancel


def test_nobody_but_a_coordinator_is_answered(caplog, attacker, monkeypatch):
    asked = attacker.request(transcript_hash=bytes(32))
    stranger = SigningKey.generate()
    attacker.refused(caplog, "bank-1", "signature", attacker.send("bank-1", asked, key=stranger))
    attacker.refused(caplog, "bank-1", "coordinator", attacker.send("bank-1", asked, key=stranger, sender="bank-4"))
    own = attacker.joins[attacker.plan.digest(), "bank-1"]
    attacker.refused(caplog, "bank-1", "coordinator", raw(attacker, own))
    attacker.refused(caplog, "bank-1", "wire", raw(attacker, own[:-1]))
    reply = attacker.ask("bank-2")
    attacker.refused(caplog, "bank-1", "kind", attacker.send("bank-1", reply))
    monkeypatch.setattr(
        custodian_module.Envelope, "verify", lambda one, _: messages.decode_message(one.kind, one.payload)
    )
    transcript = attacker.honest["bank-1"]._agreements._secrets[attacker.plan.digest()].pairs.transcript.digest
    asked = attacker.request(transcript_hash=transcript)
    assert isinstance(attacker.send("bank-1", asked, key=stranger), Contribution)


def test_terms_that_the_dictionary_does_not_give(caplog, attacker, monkeypatch):
    """A smaller sensitivity than the rows have would be charged too little."""
    phases = attacker.plan.phases.model_dump()
    phases["preflight"]["sensitivity_squared"]["bank"] //= 4
    plan = attacker.plan.model_copy(
        update={"job": "cheap", "phases": type(attacker.plan.phases).model_validate(phases)}
    )
    attacker.refused(caplog, "bank-1", "terms", attacker.join(plan)["bank-1"])
    monkeypatch.setattr(guard, "_guard_terms", mutants.nothing)
    attacker = Attacker(consortium(), ["bank-4"])
    attacker.join(plan)
    attacker.agree(plan)
    attacker.ask_all(plan=plan)
    assert len(safe(attacker)) == 1
    spent, honest = attacker.honest["bank-1"].ledger.job(plan.digest()).spent, attacker.plan.phases.preflight
    assert float(spent) == pytest.approx(
        honest.sensitivity_squared["bank"] / honest.noise_variance["bank"] / 4, rel=1e-6
    )
