"""The dispatcher's process: duties fail without each other, and the roster's file is followed."""

from pathlib import Path

import pytest

from fedcredit.errors import ConfigError, JobError
from fedcredit.roster_file import SignedRoster, write_roster_file
from server.dispatcher import Duty, NodeKeeper
from server.nodes import NodeBook
from server.pacing import Pacing
from tests.coordinators import members
from tests.rosters import signed

PACING = Pacing(retry_first_s=10, retry_longest_s=15)


class Listed:
    """Flower's nodes."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.asked, self.down = 0, False

    def nodes(self) -> set[str]:
        self.asked += 1
        if self.down:
            raise JobError("the SuperLink does not answer")
        return set(self.keys)

    def register(self, key: str) -> str:
        self.keys.append(key)
        return key

    def unregister(self, node: str) -> None:
        self.keys.remove(node)


def test_a_duty_is_put_off_while_it_fails_and_says_why() -> None:
    tried, said = [], []

    def act() -> None:
        tried.append(1)
        if len(tried) < 4:
            raise JobError("not yet")

    duty = Duty(act, PACING, said.append)
    at = []
    for now in range(60):
        before = len(tried)
        duty.attempt(float(now))
        if len(tried) > before:
            at.append(now)
    assert at[:5] == [0, 10, 25, 40, 41]
    assert said[:2] == ["not yet (tried again in 10 s)", "not yet (tried again in 15 s)"]


def test_a_defect_is_not_kept_quiet() -> None:
    def act() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Duty(act, PACING, print).attempt(0.0)


def test_the_rosters_file_is_followed_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path, flower = tmp_path / "roster.yaml", Listed()
    keeper = NodeKeeper(path, NodeBook(tmp_path / "queue.sqlite", lambda _: None), flower)
    with pytest.raises(ConfigError, match="cannot be read"):
        keeper.keep()
    write_roster_file(path, signed(members("bank-1", "bank-2", "hospital-1")))
    flower.down = True
    with pytest.raises(JobError):
        keeper.keep()
    flower.down = False
    for _ in range(3):
        keeper.keep()
    assert len(flower.keys) == 3
    assert flower.asked == 2
    write_roster_file(path, SignedRoster(members("bank-1"), {}))
    with pytest.raises(ConfigError, match="is not signed"):
        keeper.keep()
    assert len(flower.keys) == 3
    write_roster_file(path, signed(members("bank-1", "bank-2", "hospital-2")))
    keeper.keep()
    assert flower.keys == [member.node_key for member in members("bank-1", "bank-2", "hospital-2").members]
