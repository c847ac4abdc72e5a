"""What has arrived is not asked for again: replies of an undecided attempt survive the coordinator, checked anew."""

import sqlite3
from contextlib import closing

import pytest

from fedcredit.errors import AbsenceError, JobError
from fedcredit.job.store import JobStore, Outcome, decided_steps
from fedcredit.models.family import family_of
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import envelope_hash
from fedcredit.wire.messages import Refusal
from tests import tiny

MASKED = tiny.NONE.model_copy(update={"masks": True, "max_drops": 0})


@pytest.fixture
def job():
    return tiny.spec(MASKED)


@pytest.fixture
def consortium(job):
    return tiny.federation(job)


@pytest.fixture
def members(consortium, job):
    return tiny.custodians(consortium, job)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.sqlite"


def replies_of(driver, members, *names):
    requests = driver.next_step().requests
    return {name: members[name].handle(requests[name]) for name in names}


def model_of(driver):
    return canonical_json(family_of(driver.plan.model.family).release(driver.progress.state))


def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT phase, round, attempt, institution FROM arrived").fetchall()


def change_kept(path, name, envelope):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE arrived SET envelope = ? WHERE institution = ?", (envelope, name))


@pytest.mark.parametrize("phase", ["join", "keys", "preflight", "train", "evaluate", "release"])
def test_only_who_has_not_answered_is_asked_after_a_restart(consortium, job, members, path, phase):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until=phase)
    asked = driver.next_step().requests["bank-2"]
    assert driver.take(replies_of(driver, members, "hospital-1")) == ("bank-1", "bank-2")
    assert driver.take(replies_of(driver, members, "bank-1")) == ("bank-2",)
    again = tiny.coordinator(consortium, path)
    assert dict(again.next_step().requests) == {"bank-2": asked}
    assert again.take(replies_of(again, members, "bank-2")) == ()
    assert rows(path) == []
    tiny.run(again, members)
    straight = tiny.coordinator(consortium)
    tiny.run(straight, tiny.custodians(consortium, job))
    assert model_of(again) == model_of(straight)


def test_replies_in_any_order_make_the_same_requests(consortium, members):
    """What follows a step depends on who answered, not on who answered first."""
    one, other = tiny.coordinator(consortium), tiny.coordinator(consortium)
    while not one.done:
        replies = replies_of(one, members, *one.next_step().requests)
        assert other.next_step() == one.next_step()
        one.receive(replies)
        for name in reversed(replies):
            other.take({name: replies[name]})
    assert other.done


def test_a_coordinator_that_died_before_it_decided_decides(consortium, members, path):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    driver.take(replies_of(driver, members, "bank-1", "bank-2"))
    with closing(JobStore(path, consortium.plan.to_bytes())) as store:
        store.keep("train", 1, 1, replies_of(driver, members, "hospital-1"))
    again = tiny.coordinator(consortium, path)
    assert dict(again.next_step().requests) == {}
    assert again.take({}) == ()
    assert again.progress.rounds_trained == 1


@pytest.mark.parametrize("what", ["noise", "another's", "another round's", "a refusal"])
def test_a_kept_reply_that_is_no_answer_is_asked_for_again(consortium, members, path, what):
    """The store is trusted as much as the coordinator: not at all."""
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    before = replies_of(driver, members, "bank-1", "bank-2")
    driver.take({"bank-1": before["bank-1"]})
    refusal = Refusal(envelope_hash(driver.next_step().requests["bank-2"]), "hours", "later")
    wrong = {
        "noise": b"\x00" * 40,
        "another's": before["bank-2"],
        "another round's": JobStore(path, consortium.plan.to_bytes()).packets("preflight")["bank-1"],
        "a refusal": consortium.keys["bank-1"].seal("bank-1", refusal),
    }
    change_kept(path, "bank-1", wrong[what])
    again = tiny.coordinator(consortium, path)
    assert set(again.next_step().requests) == {"bank-1", "bank-2", "hospital-1"}
    tiny.run(again, members)
    assert again.done


def test_answers_outlive_an_attempt_that_cannot_be_decided_yet(consortium, members, path):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    step = driver.next_step()
    later = consortium.keys["bank-1"].seal(
        "bank-1", Refusal(envelope_hash(step.requests["bank-1"]), "hours", "answers from 8 to 18")
    )
    with pytest.raises(AbsenceError, match="answers from 8 to 18"):
        driver.take({**replies_of(driver, members, "bank-2", "hospital-1"), "bank-1": later})
    assert driver.refusals == {"bank-1": "train 1: hours: answers from 8 to 18"}
    assert list(driver.next_step().requests) == ["bank-1"]
    assert list(tiny.coordinator(consortium, path).next_step().requests) == ["bank-1"]


def test_silence_and_refusals_are_not_kept(consortium, members, path):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    step = driver.next_step()
    no = consortium.keys["bank-1"].seal("bank-1", Refusal(envelope_hash(step.requests["bank-1"]), "budget", "gone"))
    driver.take({"bank-1": no, **replies_of(driver, members, "hospital-1")})
    driver.receive({})
    again = tiny.coordinator(consortium, path)
    assert list(again.next_step().requests) == ["bank-1", "bank-2"]
    again.receive({})
    assert list(again.next_step().requests) == ["bank-1", "bank-2"]  # its first silence


def test_replies_whose_sum_is_none_are_asked_for_again(consortium, members, path, monkeypatch):
    """Kept, they would stop every resume at the same sum."""
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    driver.take(replies_of(driver, members, "bank-1", "bank-2"))
    assert len(rows(path)) == 2
    last = replies_of(driver, members, "hospital-1")
    with monkeypatch.context() as patch:
        patch.setattr("server.deciding.plausible_sum", lambda *_: False)
        with pytest.raises(JobError, match="out of range"):
            driver.take(last)
    assert rows(path) == []
    assert len(driver.next_step().requests) == 3
    tiny.run(driver, members)
    assert driver.done


def test_a_reply_that_cannot_be_stored_stops_the_job(consortium, members, path):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    replies = replies_of(driver, members, "bank-1")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON arrived BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(JobError, match=r"a reply of train 1 cannot be stored \(disk is full\); check the disk"):
        driver.take(replies)


@pytest.mark.parametrize("version", [0, 3])
def test_a_store_of_another_version_is_refused(consortium, path, version):
    JobStore(path, consortium.plan.to_bytes()).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(JobError, match=rf"another version of this software \(schema {version or 1}, not 2\); finish"):
        JobStore(path, consortium.plan.to_bytes())


def test_decided_steps_can_be_read_beside_the_coordinator(consortium, members, path, tmp_path):
    driver = tiny.coordinator(consortium, path)
    tiny.run(driver, members, until="train")
    done = Outcome.DONE
    assert decided_steps(path) == [("join", 0, 1, done), ("keys", 0, 1, done), ("preflight", 1, 1, done)]
    for wrong in (tmp_path / "none.sqlite", tmp_path):
        with pytest.raises(JobError, match="name the folder of a job that began"):
            decided_steps(wrong)
    assert not (tmp_path / "none.sqlite").exists()
