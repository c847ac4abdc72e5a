"""Room in all and for each holder."""

import pytest

from server.fleet_limits import BODIES_OF_NODE, LONGEST_BODY, Room, holder_of


def test_room_ends_for_one_holder_before_it_ends_for_all() -> None:
    room = Room(5, 3)
    assert room.take("a", 3)
    assert not room.take("a")
    assert room.take("b", 2)
    assert not room.take("c")
    room.give("a", 3)
    assert room.take("c", 3)


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


def test_one_node_can_send_the_longest_message() -> None:
    assert BODIES_OF_NODE >= LONGEST_BODY
