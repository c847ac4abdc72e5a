"""Which nodes are admitted: exactly those of the roster, whatever happened in between."""

from pathlib import Path

import pytest

from fedcredit.errors import JobError
from fedcredit.roster import Roster
from server.nodes import NodeBook
from tests.coordinators import members
from tests.rosters import NODE_KEYS, roster


class Killed(BaseException):
    """The dispatcher dies here."""


class Registry:
    """Flower's nodes: a key once used is never taken again."""

    def __init__(self) -> None:
        self.key_of: dict[str, str] = {}
        self.used: set[str] = set()
        self.dies = False

    def nodes(self) -> set[str]:
        return set(self.key_of)

    def register(self, key: str) -> str:
        if key in self.used:
            raise JobError("Public key already in use")
        self.used.add(key)
        number = str(100 + len(self.used))
        self.key_of[number] = key
        if self.dies:
            raise Killed
        return number

    def unregister(self, node: str) -> None:
        del self.key_of[node]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def book(tmp_path: Path, said: list[str]) -> NodeBook:
    return NodeBook(tmp_path / "queue.sqlite", said.append)


def keys(*names: str) -> set[str]:
    return {NODE_KEYS[name] for name in names}


ALL, FEWER = members("bank-1", "bank-2", "hospital-1"), members("bank-1", "hospital-1", "hospital-2")


def test_the_rosters_keys_are_admitted_and_no_others(book: NodeBook) -> None:
    flower = Registry()
    book.reconcile(ALL, flower)
    assert set(flower.key_of.values()) == keys("bank-1", "bank-2", "hospital-1")
    before = dict(flower.key_of)
    book.reconcile(ALL, flower)
    assert flower.key_of == before
    book.reconcile(FEWER, flower)
    assert set(flower.key_of.values()) == keys("bank-1", "hospital-1", "hospital-2")


def test_members_without_a_node_key_are_passed_over(book: NodeBook) -> None:
    flower = Registry()
    book.reconcile(roster(), flower)
    assert flower.key_of == {}


def test_a_key_that_had_left_cannot_come_back_and_the_operator_is_told_what_to_do(
    book: NodeBook, said: list[str]
) -> None:
    flower = Registry()
    for one in (ALL, FEWER, ALL):
        book.reconcile(one, flower)
    assert set(flower.key_of.values()) == keys("bank-1", "hospital-1")
    assert "bank-2 makes a new one with: fedcredit institution rotate-key" in said[-1]


def test_a_node_that_somebody_else_registered_is_taken_off(book: NodeBook) -> None:
    flower = Registry()
    flower.register(NODE_KEYS["hospital-2"])
    book.reconcile(ALL, flower)
    assert set(flower.key_of.values()) == keys("bank-1", "bank-2", "hospital-1")


def test_a_new_database_of_flower_is_filled_again(book: NodeBook) -> None:
    for one in (ALL, FEWER):
        book.reconcile(one, (old := Registry()) if one is ALL else old)
    flower = Registry()
    book.reconcile(ALL, flower)
    assert set(flower.key_of.values()) == keys("bank-1", "bank-2", "hospital-1")


@pytest.mark.parametrize("then", [ALL, FEWER])
def test_killed_while_it_registers_it_finds_the_node_again(book: NodeBook, then: Roster) -> None:
    flower = Registry()
    for _ in range(3):
        flower.dies = True
        with pytest.raises(Killed):
            book.reconcile(ALL, flower)
        flower.dies = False
    book.reconcile(then, flower)
    assert set(flower.key_of.values()) == {member.node_key for member in then.members}
