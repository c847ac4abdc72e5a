"""A message field by field, and never a vector's numbers among the values."""

from dataclasses import fields

import pytest

from fedcredit.outbox.fields import fields_of, first_words
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import (
    Contribution,
    IdentifyRequest,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Role,
    StopRequest,
)
from tests import privacy_checks as checks
from tests import tiny


@pytest.fixture(scope="module")
def replies():
    """One of each message that a custodian sends, by its type's name."""
    consortium = tiny.federation()
    bank = checks.joined(consortium, tiny.spec())
    plan, key = consortium.plan, consortium.coordinator_key
    asked = [
        key.seal("coordinator", IdentifyRequest(bytes(32))),
        key.seal("coordinator", JoinRequest(plan.to_bytes())),
        key.seal("coordinator", KeysRequest(plan.digest(), checks.agree(consortium, tiny.spec(), bank))),
        key.seal("coordinator", checks.addressed(bank, checks.round_request(consortium, Role.PREFLIGHT, b""))),
        key.seal("coordinator", JoinRequest(b"{}")),
        consortium.keys["bank-2"].seal("bank-2", StopRequest(plan.roster.digest())),
    ]
    envelopes = [open_envelope(bank.handle(request)) for request in asked]
    messages = [envelope.verify(consortium.keys["bank-1"].public) for envelope in envelopes]
    return {type(message).__name__: (envelope, message) for envelope, message in zip(envelopes, messages, strict=True)}


def test_every_reply_can_be_shown(replies):
    assert set(replies) == {"IdentifyReply", "JoinReply", "KeysReply", "Contribution", "Refusal", "StopReply"}
    for envelope, message in replies.values():
        shown = fields_of(envelope, message)
        assert [one.name for one in shown[:5]] == [
            f"envelope.{name}" for name in ("version", "kind", "sender", "payload", "signature")
        ]
        assert [one.name for one in shown[5:]] == [one.name for one in fields(message)]
        assert all(one.value and one.meaning for one in shown)


def test_a_vector_is_a_number_of_integers(replies):
    envelope, message = replies["Contribution"]
    assert isinstance(message, Contribution)
    shown = {one.name: one for one in fields_of(envelope, message, "what it is")}
    assert shown["vector"].value == f"{len(message.vector) // 8} integers, {len(message.vector)} bytes"
    assert shown["vector"].meaning == "what it is"
    assert shown["role"].value == "preflight"
    assert shown["plan_hash"].value == message.plan_hash.hex()
    assert message.vector[:8].hex() not in repr(shown)


def test_first_words_are_the_messages_own_and_few(replies):
    _, message = replies["Contribution"]
    assert first_words(message) == [
        int.from_bytes(message.vector[8 * i : 8 * i + 8], "little", signed=True) for i in range(8)
    ]
    assert first_words(replies["JoinReply"][1]) == []


def test_heads_are_shown_by_member(replies):
    envelope, message = replies["KeysReply"]
    assert isinstance(message, KeysReply)
    (shown,) = (one for one in fields_of(envelope, message) if one.name == "heads")
    assert all(name in shown.value for name in ("bank-1 at event", "bank-2 at event", "hospital-1 at event"))
