"""The dispatcher's decisions, with a real queue, real job folders and Flower's list of runs in memory."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from fedcredit.errors import JobError
from server.dispatch import LOOK_INTERVAL_S, Dispatcher, Run
from server.job_run import Ending, RunOutcome, held, write_outcome
from server.pacing import Pacing
from server.queue import Queue, State

PACING = Pacing(retry_first_s=10.0, retry_longest_s=60.0)


class Killed(BaseException):
    """The dispatcher dies here."""


class Memory:
    """Flower's list of runs."""

    def __init__(self) -> None:
        self.bundle, self.listed, self.stopped, self.down = "aa", {}, [], False
        self.started: list[str] = []
        self.dies_after_start = self.dies_before_start = False

    def start(self, job: Path) -> str:
        self._ask()
        if self.dies_before_start:
            raise Killed
        number = str(len(self.started) + 1)
        self.listed[number] = Run("running", self.bundle)
        self.started.append(job.parent.name)
        if self.dies_after_start:
            raise Killed
        return number

    def runs(self) -> Mapping[str, Run]:
        self._ask()
        return dict(self.listed)

    def stop(self, run: str) -> None:
        self._ask()
        self.stopped.append(run)
        self.set(run, "finished:stopped")

    def set(self, run: str, status: str) -> None:
        self.listed[run] = Run(status, self.listed[run].bundle)

    def active(self) -> list[str]:
        return [number for number, run in self.listed.items() if not run.over]

    def _ask(self) -> None:
        if self.down:
            raise JobError("the SuperLink does not answer")


class Place:
    """A coordinator's queue and jobs, with a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.flower, self.said = folder, 1000.0, Memory(), []
        self.queue = Queue(folder / "queue.sqlite", self.clock)
        self.dispatcher = self.new()

    def clock(self) -> float:
        return self.now

    def new(self) -> Dispatcher:
        said: list[str] = self.said
        return Dispatcher(
            self.queue, self.flower, lambda job: self.folder / job, PACING, announce=said.append, clock=self.clock
        )

    def submit(self, *names: str) -> None:
        for name in names:
            (self.folder / name).mkdir()
            self.queue.submit(name)

    def advance(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self.dispatcher.advance()

    def say(self, job: str, run: str, ending: Ending, reason: str = "") -> None:
        write_outcome(self.folder / job, RunOutcome(run=run, ending=ending, reason=reason))

    def die(self, job: str, run: str) -> None:
        """A run takes the job's lock and ends without a word."""
        with held(self.folder / job, run):
            pass


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_jobs_run_one_after_another(place: Place) -> None:
    place.submit("a", "b")
    for _ in range(3):
        place.advance()
    assert place.flower.started == ["a"]
    place.say("a", "1", Ending.FINISHED)
    place.advance()
    assert place.queue.job("a").state is State.FINISHED
    place.advance()
    assert place.flower.started == ["a", "b"]


def test_a_job_that_waits_lets_the_next_one_run_and_goes_on_after_it(place: Place) -> None:
    place.submit("a", "b")
    place.advance()
    place.say("a", "1", Ending.WAITING, "bank-1 is away")
    place.advance()
    waiting = place.queue.job("a")
    assert (waiting.state, waiting.reason, waiting.bundle) == (State.QUEUED, "bank-1 is away", "aa")
    place.advance()
    assert place.flower.started == ["a", "b"]
    place.advance(1000.0)
    assert place.flower.active() == ["1", "2"]
    place.say("b", "2", Ending.FINISHED)
    place.advance()
    place.advance()
    assert place.flower.started == ["a", "b", "a"]


def test_jobs_that_all_wait_take_turns(place: Place) -> None:
    place.submit("a", "b")
    for number in range(1, 7):
        place.advance(60.0)
        place.say(place.flower.started[-1], str(number), Ending.WAITING, "away")
        place.advance()
    assert place.flower.started == ["a", "b"] * 3


def test_a_job_that_may_start_now_goes_before_one_that_pauses(place: Place) -> None:
    place.submit("a", "b")
    place.advance()
    place.say("a", "1", Ending.WAITING, "away")
    place.advance()
    place.advance()
    place.say("b", "2", Ending.WAITING, "away")
    place.advance()
    place.submit("c")
    place.advance()
    assert place.flower.started == ["a", "b", "c"]


def test_a_job_that_waits_alone_keeps_its_turn(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.say("a", "1", Ending.WAITING, "away")
    place.advance()
    assert place.queue.job("a").state is State.RUNNING


def test_a_job_that_waits_in_the_queue_is_stopped_as_one_that_ran(place: Place) -> None:
    place.submit("a", "b")
    place.advance()
    place.say("a", "1", Ending.WAITING, "away")
    place.advance()
    assert place.queue.ask_to_stop("a") is State.STOPPED
    assert place.queue.job("a").reason == "stopped by the operator"


def test_nothing_to_do_asks_nobody(place: Place) -> None:
    place.flower.down = True
    place.advance()


@pytest.mark.parametrize("status", ["finished:failed", "finished:stopped", "finished:completed", None])
def test_a_run_that_ended_without_a_word_is_started_again(place: Place, status: str | None) -> None:
    place.submit("a")
    place.advance()
    if status is None:
        del place.flower.listed["1"]
    else:
        place.flower.set("1", status)
    place.advance(LOOK_INTERVAL_S)
    assert place.queue.job("a").state is State.RUNNING
    place.advance(9.0)
    assert place.flower.started == ["a"]
    place.advance(1.0)
    assert place.flower.started == ["a", "a"]


def test_a_killed_process_is_noticed_before_flower_notices(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.die("a", "1")
    place.advance()
    assert place.flower.stopped == ["1"]
    assert place.queue.job("a").reason == "run 1 died"
    place.advance(10.0)
    assert place.flower.active() == ["2"]


def test_a_process_that_lives_is_left_alone(place: Place) -> None:
    place.submit("a")
    place.advance()
    with held(place.folder / "a", "1"):
        place.advance()
    assert place.flower.active() == ["1"]


def test_the_death_of_an_earlier_run_is_not_this_ones(place: Place) -> None:
    place.submit("a")
    place.die("a", "0")
    place.advance()
    place.advance()
    assert place.flower.active() == ["1"]


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_run_that_lasted(place: Place) -> None:
    place.submit("a")
    pauses = []
    for number in range(1, 6):
        place.advance()
        place.say("a", str(number), Ending.WAITING, "bank-1 did not appear")
        place.advance()
        pauses.append(place.queue.job("a").not_before - place.now)
        place.now += pauses[-1]
    assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0]
    place.advance()
    place.say("a", "6", Ending.WAITING, "bank-1 did not appear")
    place.advance(61.0)
    assert place.queue.job("a").not_before - place.now == 10.0


def test_an_error_that_does_not_mend_itself_ends_the_job_with_its_sentence(place: Place) -> None:
    place.submit("a", "b")
    place.advance()
    place.say("a", "1", Ending.FAILED, "train has 1 of 3 institutions")
    place.advance()
    job = place.queue.job("a")
    assert (job.state, job.reason) == (State.FAILED, "train has 1 of 3 institutions")
    place.advance()
    assert place.flower.started == ["a", "b"]
    place.say("b", "2", Ending.FINISHED)
    place.queue.resume("a")
    for _ in range(2):
        place.advance()
    assert place.flower.started == ["a", "b", "a"]
    # The word of the first run is not the second one's.
    place.advance()
    assert place.queue.job("a").state is State.RUNNING


def test_a_job_is_stopped_while_it_runs_and_while_it_waits_for_the_next_run(place: Place) -> None:
    place.submit("a", "b")
    place.advance()
    place.queue.ask_to_stop("a")
    place.advance()
    assert (place.flower.active(), place.queue.job("a").state) == ([], State.STOPPED)
    place.advance()
    place.die("b", "2")
    place.advance()
    place.queue.ask_to_stop("b")
    place.advance()
    assert (place.flower.active(), place.queue.job("b").state) == ([], State.STOPPED)


def test_a_job_that_finished_before_it_was_stopped_is_finished(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.say("a", "1", Ending.FINISHED)
    place.queue.ask_to_stop("a")
    place.advance()
    assert place.queue.job("a").state is State.FINISHED


def test_a_superlink_that_does_not_answer_changes_nothing(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.flower.down = True
    with pytest.raises(JobError):
        place.advance(LOOK_INTERVAL_S)
    place.flower.down = False
    place.advance()
    assert place.flower.active() == ["1"]


def test_a_start_that_flower_refused_is_tried_again(place: Place) -> None:
    place.submit("a")
    place.flower.down = True
    with pytest.raises(JobError):
        place.advance()
    place.flower.down = False
    place.advance()
    place.advance(10.0)
    assert place.flower.active() == ["1"]


def test_another_bundle_than_the_jobs_is_not_run(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.die("a", "1")
    place.advance()
    place.flower.bundle = "bb"
    place.advance(10.0)
    job = place.queue.job("a")
    assert job.state is State.FAILED
    assert "app bundle aa and this clone builds bb" in job.reason
    assert place.flower.started == ["a"]
    place.queue.resume("a")
    place.advance()
    assert place.flower.started == ["a", "a"]


def test_a_run_with_another_bundle_is_stopped(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.flower.listed["1"] = Run("running", "cc")
    place.advance(LOOK_INTERVAL_S)
    assert (place.queue.job("a").state, place.flower.stopped) == (State.FAILED, ["1"])


def test_a_clock_that_was_set_back_holds_nothing_up(place: Place) -> None:
    place.submit("a")
    place.advance()
    place.die("a", "1")
    place.advance()
    place.advance(-5000.0)
    assert place.flower.active() == ["2"]


@pytest.mark.parametrize("dies", ["dies_before_start", "dies_after_start"])
def test_a_dispatcher_killed_while_it_starts_a_run_loses_no_job_and_starts_none_twice(place: Place, dies: str) -> None:
    place.submit("a")
    setattr(place.flower, dies, True)
    with pytest.raises(Killed):
        place.advance()
    setattr(place.flower, dies, False)
    place.dispatcher = place.new()
    for _ in range(4):
        place.advance(20.0)
    assert place.flower.active() == ["1"]
    assert place.queue.job("a").run == "1"
    assert place.queue.runs_of("a") == 1


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_one_run_is_active_at_most_and_every_job_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    moments = random.Random(seed)
    names = ("will_start", "has_started", "try_again", "end")
    for name in names:
        monkeypatch.setattr(Queue, name, mortal(getattr(Queue, name), moments))
    for name in ("start", "stop"):
        monkeypatch.setattr(Memory, name, mortal(getattr(Memory, name), moments))
    place.submit("a", "b")
    for _ in range(400):
        try:
            place.advance(5.0)
        except Killed:
            place.dispatcher = place.new()
        active = place.flower.active()
        assert len(active) <= 1
        job = place.queue.current()
        if job is None:
            break
        if job.run in active:
            ending = moments.choice([None, None, Ending.WAITING, Ending.FINISHED])
            if ending is not None:
                place.say(job.name, job.run, ending, "x")
                place.flower.set(job.run, "finished:completed")
    assert [job.state for job in place.queue.jobs()] == [State.FINISHED, State.FINISHED]


def mortal(act, moments: random.Random):  # type: ignore[no-untyped-def]
    """The same, killed before or after it in one case of four."""

    def acting(*arguments: object) -> object:
        if moments.random() < 0.125:
            raise Killed
        answer = act(*arguments)
        if moments.random() < 0.125:
            raise Killed
        return answer

    return acting
