"""Joins that no member could accept are found at the one who sent them."""

from dataclasses import replace

import pytest

from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import JoinRequest
from server.joins import JoinBook
from tests import tiny

MASKED = tiny.NONE.model_copy(update={"masks": True})


@pytest.fixture(scope="module")
def consortium():
    return tiny.federation(tiny.spec(MASKED))


@pytest.fixture(scope="module")
def joins(consortium):
    request = consortium.coordinator_key.seal("coordinator", JoinRequest(consortium.plan.to_bytes()))
    members = tiny.custodians(consortium, tiny.spec(MASKED))
    return {name: member.handle(request) for name, member in members.items()}


def changed(consortium, joins, name, **changes):
    join = open_envelope(joins[name]).verify(consortium.keys[name].public)
    return consortium.keys[name].seal(name, replace(join, **changes))


def key_of(consortium, joins, name):
    return open_envelope(joins[name]).verify(consortium.keys[name].public).agreement_key


def test_honest_joins_are_taken_again_and_after_a_restart(consortium, joins):
    book = JoinBook(consortium.plan)
    known = {}
    for name, join in joins.items():
        assert book.fault(name, join, known) is None
        known[name] = join
    assert book.fault("bank-1", joins["bank-1"], known) is None
    again = changed(consortium, joins, "bank-1", agreement_key=AgreementKey().public, key_epoch=2)
    assert book.fault("bank-1", again, known) is None


@pytest.mark.parametrize("flip", [0x00, 0x80])
def test_another_members_key_is_refused_in_any_encoding(consortium, joins, flip):
    stolen = key_of(consortium, joins, "bank-1")
    stolen = stolen[:-1] + bytes([stolen[-1] ^ flip])
    copy = changed(consortium, joins, "bank-2", agreement_key=stolen)
    assert "the agreement key of bank-1" in JoinBook(consortium.plan).fault("bank-2", copy, joins)


@pytest.mark.parametrize(("epoch", "new_key"), [(1, True), (2, False), (0, True)])
def test_an_epoch_has_one_key_and_each_restart_a_new_one(consortium, joins, epoch, new_key):
    known = {**joins, "bank-2": changed(consortium, joins, "bank-2", key_epoch=1)}
    key = AgreementKey().public if new_key else key_of(consortium, joins, "bank-2")
    again = changed(consortium, joins, "bank-2", agreement_key=key, key_epoch=epoch)
    assert "epoch" in JoinBook(consortium.plan).fault("bank-2", again, known)


def test_a_join_under_another_key_is_refused(consortium, joins):
    forged = consortium.keys["bank-1"].seal(
        "bank-2", open_envelope(joins["bank-2"]).verify(consortium.keys["bank-2"].public)
    )
    assert "signature" in JoinBook(consortium.plan).fault("bank-2", forged, {})
