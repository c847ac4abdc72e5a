"""Which node speaks for whom: by its pinned key where the Grid knows keys, by a signed nonce elsewhere."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.roll_call import RollCall
from tests.rosters import NODE_KEYS
from tests.server.test_strategy import WHO, Script, speaking_for

NUMBERS = {name: number for number, name in enumerate(NODE_KEYS, 1)}


def pem(number):
    key = derive_private_key(number, SECP384R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def told():
    return []


@pytest.fixture
def call(grid, clock, told):
    """A roll call, and who is present after everybody had time to answer."""

    def of(*pinned):
        script = Script(node_keys={name: NODE_KEYS[name] for name in pinned})
        roll_call = RollCall(grid, script, told.append, clock, 5.0)

        def settle():
            for _ in range(4):
                roll_call.advance(60.0)
                clock.sleep(1.0)
            return roll_call.present()

        return settle

    return of


def asked(grid):
    return sorted(message.metadata.dst_node_id for message in grid.pushed)


def test_nodes_with_pinned_keys_are_known_without_a_question(call, grid, told):
    grid.nodes = {7: speaking_for("bank-1"), 8: speaking_for("hospital-1")}
    grid.keys = {7: pem(NUMBERS["bank-1"]), 8: pem(NUMBERS["hospital-1"])}
    assert call("bank-1", "hospital-1")() == {"bank-1": 7, "hospital-1": 8}
    assert grid.pushed == []
    assert told == ["bank-1 is node 7, by its pinned key", "hospital-1 is node 8, by its pinned key"]


def test_a_node_under_a_pinned_key_is_the_institutions_whatever_another_claims(call, grid):
    """It could prove to be bank-1, but it is not asked: every key is pinned, and its own is none of them."""
    grid.nodes = {6: speaking_for("bank-1"), 7: speaking_for("bank-1"), 8: speaking_for("hospital-1")}
    grid.keys = {6: pem(99), 7: pem(NUMBERS["bank-1"]), 8: pem(NUMBERS["hospital-1"])}
    assert call("bank-1", "hospital-1")() == {"bank-1": 7, "hospital-1": 8}
    assert asked(grid) == []


def test_the_operator_is_told_once_of_a_node_that_is_nobodys(call, grid, told):
    grid.nodes, grid.keys = {6: speaking_for("bank-1")}, {6: pem(99)}
    settle = call("bank-1", "hospital-1")
    assert settle() == settle() == {}
    (line,) = told
    assert line.startswith("node 6 is not asked for anything: the roster pins its key for no member")


def test_a_member_that_proves_itself_from_another_node_than_the_pinned_one_is_refused(call, grid, told):
    """Where others have no pinned key, unknown nodes are asked who they are."""
    grid.nodes, grid.keys = {6: speaking_for("bank-1"), 8: speaking_for("hospital-1")}, {6: pem(99), 8: pem(98)}
    assert call("bank-1")() == {"hospital-1": 8}
    (line,) = [line for line in told if "node 6" in line]
    assert line.startswith("node 6 has no place in this job: it speaks for bank-1, but its key is not the one that")


def test_its_place_stays_refused_when_it_went_before_its_answer_was_read(call, grid):
    grid.nodes, grid.keys = {6: speaking_for("bank-1")}, {6: pem(99)}
    settle = call("bank-1")

    def leaving(question):
        if question == WHO:
            del grid.nodes[6]
        return speaking_for("bank-1")(question)

    grid.nodes[6] = leaving
    settle()
    grid.nodes[6] = speaking_for("bank-1")
    assert settle() == {}


def test_a_grid_without_keys_is_asked_as_ever(call, grid):
    grid.nodes = {7: speaking_for("bank-1"), 8: speaking_for("hospital-1")}
    assert call("bank-1", "hospital-1")() == {"bank-1": 7, "hospital-1": 8}
    assert asked(grid) == [7, 8]


def test_a_pinned_node_takes_the_place_of_one_that_proved_itself(call, grid):
    grid.nodes = {7: speaking_for("bank-1"), 8: speaking_for("hospital-1")}
    settle = call("bank-1")
    assert settle() == {"bank-1": 7, "hospital-1": 8}
    grid.nodes[9], grid.keys[9] = speaking_for("bank-1"), pem(NUMBERS["bank-1"])
    assert settle()["bank-1"] == 9
