"""Who gives way to whom."""

import socket
import weakref
from collections.abc import Iterator

import pytest

from server.fleet_places import Client, Places, holder_of


class House:
    """Places for three strangers, two of an address, and two connections of a node; and who was cut."""

    def __init__(self) -> None:
        self.places = Places(3, 2, 2)
        self.sockets: dict[Client, tuple[socket.socket, socket.socket]] = {}
        self.seen: dict[Client, weakref.ref[socket.socket]] = {}

    def come(self, host: str, port: int) -> str | None:
        client = (host, port)
        self.sockets[client] = socket.socketpair()
        self.seen[client] = weakref.ref(self.sockets[client][0])
        return self.places.enter(client, self.seen[client])

    def go(self, host: str, port: int) -> None:
        self.places.leave((host, port), self.seen[host, port])

    def is_cut(self, host: str, port: int) -> bool:
        far = self.sockets[host, port][1]
        far.setblocking(False)
        try:
            return far.recv(1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    for pair in made.sockets.values():
        for one in pair:
            one.close()


def test_one_address_has_its_share_and_its_newest_stay(house: House) -> None:
    assert [house.come("a", port) for port in (1, 2, 3)] == [None, None, "a"]
    assert [house.is_cut("a", port) for port in (1, 2, 3)] == [True, False, False]
    assert len(house.places) == 2


def test_a_full_house_takes_from_who_has_most(house: House) -> None:
    assert [house.come("b", 1), house.come("a", 1), house.come("a", 2)] == [None] * 3
    assert house.come("c", 1) == "a"
    assert house.is_cut("a", 1)
    assert not house.is_cut("b", 1)


def test_of_equals_the_oldest_gives_way(house: House) -> None:
    assert [house.come(name, 1) for name in "abcd"] == [None, None, None, "a"]
    assert house.is_cut("a", 1)


def test_who_proves_to_be_a_node_gives_way_to_no_stranger(house: House) -> None:
    house.come("a", 1)
    house.places.prove(("a", 1), "7")
    for port in range(2, 12):
        house.come("a", port)
    assert not house.is_cut("a", 1)
    assert len(house.places) == 3


def test_a_node_keeps_its_last_connections_wherever_they_come_from(house: House) -> None:
    for name in "abc":
        house.come(name, 1)
        house.places.prove((name, 1), "7")
    assert [house.is_cut(name, 1) for name in "abc"] == [True, False, False]


def test_a_connection_in_use_is_no_old_one(house: House) -> None:
    for name in "ab":
        house.come(name, 1)
        house.places.prove((name, 1), "7")
    house.places.prove(("a", 1), "7")
    house.come("c", 1)
    house.places.prove(("c", 1), "7")
    assert [house.is_cut(name, 1) for name in "abc"] == [False, True, False]


def test_a_node_s_name_is_no_stranger_s_address(house: House) -> None:
    house.come("a", 1)
    house.places.prove(("a", 1), "7")
    assert [house.come("7", port) for port in (1, 2, 3)] == [None, None, "7"]
    assert not house.is_cut("a", 1)


def test_a_place_is_given_back_once_and_by_its_own_connection(house: House) -> None:
    house.come("a", 1)
    former, seen = house.sockets["a", 1], house.seen["a", 1]
    house.come("a", 1)
    house.places.leave(("a", 1), seen)
    assert len(house.places) == 1
    house.go("a", 1)
    house.go("a", 1)
    assert len(house.places) == 0
    for one in former:
        one.close()


def test_a_connection_that_is_cut_proves_nothing_any_more(house: House) -> None:
    for port in (1, 2, 3):
        house.come("a", port)
    house.places.prove(("a", 1), "7")
    assert len(house.places) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("a name", "another", False),
    ],
)
def test_who_is_one_holder(one: str, other: str, same: bool) -> None:
    assert (holder_of(one) == holder_of(other)) is same
