"""Who of a step is to be asked, and when again."""

import pytest

from server.deliveries import Deliveries
from server.faults import FAULTS, NOT_ACCEPTED
from server.pacing import Pacing

PACING = Pacing(retry_first_s=5.0, retry_longest_s=12.0)
AWAY, FOREIGN = FAULTS[5], FAULTS[1007]


@pytest.fixture
def two():
    return Deliveries(("bank-1", "bank-2"), PACING)


def test_nobody_is_asked_twice_while_a_question_is_on_its_way(two):
    assert two.due(0.0) == ["bank-1", "bank-2"]
    assert two.sent(["bank-1"], {"m1": "bank-1"}, 0.0) == []
    assert two.on_their_way == {"m1": "bank-1"}
    assert two.due(1e9) == ["bank-2"]


def test_pauses_double_up_to_the_longest(two):
    for pause in (5.0, 10.0, 12.0, 12.0):
        two.sent(["bank-1"], {"m": "bank-1"}, 100.0)
        two.failed("bank-1", AWAY, 100.0)
        assert "bank-1" not in two.due(100.0 + pause - 0.1)
        assert "bank-1" in two.due(100.0 + pause)


def test_what_flower_did_not_take_failed(two):
    assert two.sent(["bank-1", "bank-2"], {"m": "bank-2"}, 0.0) == ["bank-1"]
    assert (two.of["bank-1"].fault, two.of["bank-1"].asked, two.of["bank-2"].asked) == (NOT_ACCEPTED, 0, 1)
    assert two.due(5.0) == ["bank-1"]


def test_a_step_is_hopeless_when_everybody_s_fault_stays(two):
    two.failed("bank-1", FOREIGN, 0.0)
    assert two.due(1e9) == ["bank-2"]
    assert not two.hopeless
    two.failed("bank-2", AWAY, 0.0)
    assert not two.hopeless
    two.keep(["bank-1"])
    assert two.hopeless
