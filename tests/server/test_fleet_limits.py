"""Room in all and for each holder."""

from server.fleet_limits import BODIES_OF_NODE, LONGEST_BODY, Room


def test_room_ends_for_one_holder_before_it_ends_for_all() -> None:
    room = Room(5, 3)
    assert room.take("a", 3)
    assert not room.take("a")
    assert room.take("b", 2)
    assert not room.take("c")
    room.give("a", 3)
    assert room.take("c", 3)


def test_one_node_can_send_the_longest_message() -> None:
    assert BODIES_OF_NODE >= LONGEST_BODY
