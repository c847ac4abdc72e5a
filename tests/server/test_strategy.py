"""The strategy: who is asked, who counts as absent, when it stops waiting, and that it keeps no state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from pydantic import ValidationError

from fedcredit.errors import ConfigError, JobError, RefusalError
from server.coordinator import Step
from server.pacing import Pacing
from server.strategy import CoordinatorStrategy
from simulations.flower_runner import STEP_TOLD

PHASES = (("join", 0), ("preflight", 1), ("train", 1), ("train", 2), ("evaluate", 1), ("release", 0))
PACING = Pacing(institutions_timeout_s=60.0, step_timeout_s=30.0, poll_interval_s=0.5)
WHO = b"who are you?"
STALE = b"an answer to something else"


@dataclass
class Script:
    """A coordinator's questions in order; it takes every answer, and goes on without whoever has none at the end."""

    institutions: tuple[str, ...] = ("bank-1", "hospital-1")
    steps: list[tuple[str, int]] = field(default_factory=lambda: list(PHASES))
    received: list[dict[str, bytes]] = field(default_factory=list)
    taken: dict[str, bytes] = field(default_factory=dict)
    node_keys: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    folder: None = None

    def next_step(self) -> Step | None:
        if not self.steps:
            return None
        phase, round_ = self.steps[0]
        left = [name for name in self.institutions if name not in self.taken]
        return Step(phase, round_, 1, {name: f"{phase} {round_} {name}".encode() for name in left})

    def take(self, replies: Mapping[str, bytes]) -> tuple[str, ...]:
        self.taken |= {name: reply for name, reply in replies.items() if reply != STALE}
        waiting = tuple(name for name in self.institutions if name not in self.taken)
        if not waiting:
            self.receive({})
        return waiting

    def receive(self, replies: Mapping[str, bytes], _faults: Mapping[str, str] | None = None) -> None:
        self.received.append({**self.taken, **replies})
        self.taken = {}
        self.steps.pop(0)

    def identify_request(self) -> bytes:
        return WHO

    def identify(self, request: bytes, reply: bytes) -> str:
        name = reply.decode()
        if request != WHO or name not in self.institutions:
            raise RefusalError("sender", f"{name} is not in the roster.")
        return name


def speaking_for(name: str):
    """A node whose custodian is healthy."""
    return lambda asked: name.encode() if asked == WHO else b"answer to " + asked


def strategy_of(script, clock, pacing=PACING):
    lines: list[str] = []
    strategy = CoordinatorStrategy(script, pacing, announce=lines.append, clock=clock, sleep=clock.sleep)
    return strategy, lines


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def both(grid):
    """A Grid with a node of each institution."""
    grid.nodes = {11: speaking_for("hospital-1"), 12: speaking_for("bank-1")}
    return grid


def test_every_phase_reaches_the_institution_that_it_is_for(script, both, clock):
    strategy, lines = strategy_of(script, clock)
    result = strategy.start(both)
    expected = [
        {name: f"answer to {phase} {round_} {name}".encode() for name in script.institutions}
        for phase, round_ in PHASES
    ]
    assert script.received == expected
    assert not result.arrays
    assert sum(STEP_TOLD in line for line in lines) == len(PHASES)  # followers of the log rely on it
    asked = [message.metadata.group_id for message in both.pushed[2:]]
    assert asked == [f"{phase}-{round_}" for phase, round_ in PHASES for _ in script.institutions]


def test_phases_go_through_flower_s_own_methods(script, both, clock):
    """`configure_*` and `aggregate_*` are the phases; nothing is sent or taken beside them."""
    calls = []

    class Noting(CoordinatorStrategy):
        def configure_train(self, server_round, *args):
            messages = list(super().configure_train(server_round, *args))
            calls.append(("train", server_round, len(messages)))
            return messages

        def configure_evaluate(self, server_round, *args):
            messages = list(super().configure_evaluate(server_round, *args))
            calls.append(("evaluate", server_round, len(messages)))
            return messages

    Noting(script, PACING, announce=lambda _: None, clock=clock, sleep=clock.sleep).start(both)
    faces = [("evaluate" if phase in {"evaluate", "release"} else "train", round_, 2) for phase, round_ in PHASES]
    assert calls == faces


def test_outside_a_step_there_is_nothing_to_configure(script, both, clock):
    strategy, _ = strategy_of(script, clock)
    nothing = ArrayRecord(), ConfigRecord()
    assert list(strategy.configure_train(1, *nothing, both)) == []
    assert list(strategy.configure_evaluate(1, *nothing, both)) == []


def test_a_finished_job_asks_nobody(both, clock):
    script = Script(steps=[])
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert both.pushed == []
    assert clock.now == 0.0


def test_a_job_resumes_where_its_store_left_it(both, clock):
    script = Script(steps=list(PHASES[3:]))
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert len(script.received) == 3


def test_missing_institutions_are_named_when_the_time_is_over(script, grid, clock):
    grid.nodes = {11: speaking_for("bank-1"), 12: speaking_for("stranger")}
    strategy, _ = strategy_of(script, clock)
    with pytest.raises(JobError, match=r"hospital-1 did not appear within 60 s \(2 Flower nodes are online") as caught:
        strategy.start(grid)
    assert "bank-1" not in str(caught.value)
    assert 60.0 <= clock.now < 61.0
    assert script.received == []


def test_an_institution_that_comes_late_is_waited_for(script, grid, clock):
    grid.nodes = {11: speaking_for("bank-1")}

    def sleep(seconds):
        clock.sleep(seconds)
        if clock.now > 20.0:
            grid.nodes[12] = speaking_for("hospital-1")

    CoordinatorStrategy(script, PACING, announce=lambda _: None, clock=clock, sleep=sleep).start(grid)
    assert len(script.received) == len(PHASES)
    asked_who = [message.metadata.dst_node_id for message in grid.pushed if message.metadata.group_id == "identify"]
    assert sorted(asked_who) == [11, 12]  # who is known is not asked again


def test_a_node_whose_custodian_starts_late_is_asked_again(script, both, clock):
    def starting(asked):
        return 1003 if clock.now < 20.0 else speaking_for("bank-1")(asked)

    both.nodes[12] = starting
    strategy, lines = strategy_of(script, clock)
    strategy.start(both)
    questions = [message for message in both.pushed if message.metadata.dst_node_id == 12][: -len(PHASES)]
    assert 3 <= len(questions) <= 6  # every 5 s, not at every look
    assert any("node 12 did not say who it is: the node does not reach its custodian" in line for line in lines)
    assert len(script.received) == len(PHASES)


@pytest.mark.parametrize(
    "silence",
    [lambda _: None, lambda _: 1006, lambda _: 5, lambda _: RecordDict({"other": ConfigRecord({"envelope": b"x"})})],
    ids=["no reply", "error of the relay", "node lost", "foreign content"],
)
def test_whoever_gives_no_envelope_is_absent(script, both, clock, silence):
    def failing(asked):
        return silence(asked) if asked.startswith(b"train 1") else speaking_for("hospital-1")(asked)

    both.nodes[11] = failing
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert script.received[2] == {"bank-1": b"answer to train 1 bank-1"}
    assert all(set(replies) == {"bank-1", "hospital-1"} for replies in script.received[:2] + script.received[3:])


def test_a_step_ends_with_its_time(script, both, clock):
    both.nodes[11] = lambda asked: b"hospital-1" if asked == WHO else None
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert 30.0 * len(PHASES) <= clock.now <= 32.0 * len(PHASES)


def test_a_message_that_flower_refuses_is_sent_again(script, both, clock):
    def sleep(seconds):
        clock.sleep(seconds)
        both.refuse = {11} if 5.0 < clock.now < 15.0 else set()

    both.delay_s, lines = 3.0, []
    CoordinatorStrategy(script, PACING, announce=lines.append, clock=clock, sleep=sleep).start(both)
    assert all(set(replies) == {"bank-1", "hospital-1"} for replies in script.received)
    assert any(line.startswith("hospital-1 did not answer: Flower did not accept the message") for line in lines)


def test_a_restarted_node_proves_itself_under_its_new_number(script, both, clock):
    def restarting(asked):
        if asked.startswith(b"preflight"):
            both.nodes[13] = both.nodes.pop(12)
        return speaking_for("bank-1")(asked)

    both.nodes[12] = restarting
    strategy, lines = strategy_of(script, clock)
    strategy.start(both)
    assert [set(replies) for replies in script.received] == [{"bank-1", "hospital-1"}] * len(PHASES)
    assert "bank-1 is node 13" in lines


def test_an_institution_that_leaves_for_good_is_absent_after_the_steps_time(script, both, clock):
    def leaving(asked):
        if asked.startswith(b"preflight"):
            del both.nodes[12]
        return speaking_for("bank-1")(asked)

    both.nodes[12] = leaving
    pacing = PACING.model_copy(update={"institutions_timeout_s": 10.0})
    strategy, lines = strategy_of(script, clock, pacing)
    strategy.start(both)
    assert [set(replies) for replies in script.received[2:]] == [{"hospital-1"}] * 4
    assert sum("bank-1 did not appear so far (1 Flower nodes are online)" in line for line in lines) == 4
    assert 30.0 * 4 <= clock.now <= 32.0 * 4 + 4


def pushes_to(grid, node, label):
    sent = [message for message in grid.pushed if message.metadata.group_id == label]
    return [message for message in sent if message.metadata.dst_node_id == node]


def test_replies_are_handed_over_as_they_arrive(script, both, clock):
    """Were they kept until the step's end, a coordinator that dies in a slow step would lose them."""
    seen = []

    def sleep(seconds):
        clock.sleep(seconds)
        seen.append((script.steps[0] if script.steps else None, dict(script.taken)))

    both.nodes[11] = lambda asked: b"hospital-1" if asked == WHO else None
    CoordinatorStrategy(script, PACING, announce=lambda _: None, clock=clock, sleep=sleep).start(both)
    assert (("preflight", 1), {"bank-1": b"answer to preflight 1 bank-1"}) in seen


@pytest.mark.parametrize("returns_as", [12, 13], ids=["same number", "new number"])
def test_a_node_that_is_lost_in_a_step_and_comes_back_is_asked_the_same_again(script, both, clock, returns_as):
    """Nobody else is: whoever has answered stays answered."""
    healthy, asked_with = speaking_for("bank-1"), []

    def dying(asked):
        if asked != WHO:
            asked_with.append(asked)
        if asked.startswith(b"train 1") and clock.now < 18.0:
            del both.nodes[12]
            return 5
        return healthy(asked)

    def sleep(seconds):
        clock.sleep(seconds)
        if script.steps and script.steps[0] == ("train", 1) and clock.now > 18.0:
            both.nodes.setdefault(returns_as, dying)

    both.nodes[12] = dying
    strategy = CoordinatorStrategy(script, PACING, announce=lambda _: None, clock=clock, sleep=sleep)
    strategy.start(both)
    assert all(set(replies) == {"bank-1", "hospital-1"} for replies in script.received)
    assert asked_with.count(b"train 1 bank-1") == 2
    assert len(pushes_to(both, 11, "train-1")) == 1
    assert 18.0 < clock.now < 45.0  # the step did not wait for its time to be over


def test_whoever_is_there_is_asked_while_another_is_awaited(script, both, clock):
    def leaving(asked):
        if asked.startswith(b"join"):
            del both.nodes[12]
        return speaking_for("bank-1")(asked)

    def sleep(seconds):
        clock.sleep(seconds)
        if clock.now > 20.0:
            both.nodes[14] = speaking_for("bank-1")

    both.nodes[12] = leaving
    CoordinatorStrategy(script, PACING, announce=lambda _: None, clock=clock, sleep=sleep).start(both)
    (sent,) = pushes_to(both, 11, "preflight-1")
    assert both.pushed.index(sent) < both.pushed.index(pushes_to(both, 14, "identify")[0])
    assert all(set(replies) == {"bank-1", "hospital-1"} for replies in script.received)
    assert 20.0 < clock.now < 40.0


def test_a_custodian_that_cannot_be_reached_is_asked_again_after_pauses_that_grow(script, both, clock):
    times = []

    def starting(asked):
        if asked.startswith(b"train 1"):
            times.append(clock.now)
            return 1003 if len(times) < 3 else b"answer to " + asked
        return speaking_for("bank-1")(asked)

    both.nodes[12] = starting
    strategy, lines = strategy_of(script, clock)
    strategy.start(both)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [6, 11]  # a reply takes 1 s
    assert script.received[2]["bank-1"] == b"answer to train 1 bank-1"
    told = (
        "bank-1 did not answer: the node does not reach its custodian (custodian-unreachable); the institution starts"
    )
    assert sum(line.startswith(told) for line in lines) == 2


@pytest.mark.parametrize("answer", [1000, 1005, 4711, STALE], ids=str)
def test_a_fault_that_stays_does_not_hold_up_the_step(script, both, clock, answer):
    both.nodes[11] = lambda asked: b"hospital-1" if asked == WHO else answer
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert [set(replies) for replies in script.received] == [{"bank-1"}] * len(PHASES)
    assert clock.now < 3.0 * len(PHASES)


def test_a_step_whose_answers_are_all_there_asks_nobody(script, both, clock):
    """As after a restart between the last reply and the decision."""
    script.steps, script.taken = [("train", 1)], {"bank-1": b"one", "hospital-1": b"other"}
    strategy, _ = strategy_of(script, clock)
    strategy.start(both)
    assert script.received == [{"bank-1": b"one", "hospital-1": b"other"}]
    assert both.pushed == []


def test_refusals_are_told_once_in_words(script, both, clock):
    script.refusals = {"hospital-1": "train 1: hours: answers from 8 to 18"}
    strategy, lines = strategy_of(script, clock)
    strategy.start(both)
    assert lines.count("hospital-1 refused train 1: hours: answers from 8 to 18") == 1


def test_rounds_and_model_are_not_flower_s_to_choose(script, both, clock):
    strategy, _ = strategy_of(script, clock)
    with pytest.raises(ConfigError, match="the plan fixes rounds"):
        strategy.start(both, ArrayRecord())
    with pytest.raises(ConfigError, match="the plan fixes rounds"):
        strategy.start(both, num_rounds=3)
    assert both.pushed == []


@pytest.mark.parametrize("wrong", [{"institutions_timeout_s": 0}, {"step_timeout_s": float("nan")}, {"typo": 1}])
def test_wrong_deadlines_are_refused(wrong):
    with pytest.raises(ValidationError):
        Pacing.model_validate(wrong)
