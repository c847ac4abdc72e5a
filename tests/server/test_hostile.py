"""Attacks on the coordinator that were tried: institutions that answer what was not asked, stores that half exist."""

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import JobError
from fedcredit.job.progress import noise_variance
from fedcredit.job.store import _SCHEMA, JobStore
from fedcredit.plan import PrivacyUnit
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import envelope_hash, open_envelope
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import Contribution, Receipt, Refusal, Role
from server import coordinator as coordinator_module
from tests import tiny

JOB = tiny.spec(tiny.NONE)


@pytest.fixture(scope="module")
def consortium():
    return tiny.federation(JOB)


@pytest.fixture
def members(consortium):
    return tiny.custodians(consortium, JOB)


def forged(consortium, request, **changes):
    """What bank-2 would answer if it were free to write its contribution itself."""
    asked = open_envelope(request).verify(consortium.coordinator_key.public)
    plan = consortium.plan
    honest = Contribution(
        asked.plan_hash,
        asked.role,
        asked.round,
        asked.attempt,
        plan.roster.attempt_digest(asked.members),
        digest("model", asked.model),
        bytes(8 * plan.phases.of(asked.role).vector_length),
        7,
        bytes(32),
        sign_head(consortium.keys["bank-2"], "bank-2", 7, bytes(32)),
    )
    return consortium.keys["bank-2"].seal("bank-2", replace(honest, **changes))


def answer(driver, members, bank_2):
    """One step in which bank-2 answers with bytes of its own."""
    step = driver.next_step()
    replies = {name: members[name].handle(request) for name, request in step.requests.items()}
    driver.receive({**replies, "bank-2": bank_2(step.requests["bank-2"])})


def filled(consortium, value):
    length = consortium.plan.phases.preflight.vector_length
    return np.full(length, value, dtype="<i8").tobytes()


def test_a_forged_but_fitting_contribution_counts(consortium, members):
    """The tests below refuse for what they change and for nothing else."""
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="preflight")
    answer(driver, members, lambda request: forged(consortium, request))
    assert driver.next_step().phase == "train"


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**53, -(2**53), 2**40])
def test_numbers_that_no_rows_could_give_are_refused(consortium, members, value):
    driver = tiny.coordinator(consortium, quorum=2)
    tiny.run(driver, members, until="preflight")
    answer(driver, members, lambda request: forged(consortium, request, vector=filled(consortium, value)))
    assert driver.institutions == ("bank-1", "hospital-1")
    tiny.run(driver, members)
    assert driver.done


@pytest.mark.parametrize("value", [2**22, -(2**22)])
def test_numbers_that_rows_could_give_bring_the_job_to_an_end(consortium, members, value):
    """A member can poison the model; it cannot break the arithmetic."""
    driver = tiny.coordinator(consortium)
    for phase in ("preflight", "train", "evaluate"):
        tiny.run(driver, members, until=phase)
        length = consortium.plan.phases.of(Role[phase.upper()]).vector_length
        vector = np.full(length, value, dtype="<i8").tobytes()
        answer(driver, members, lambda request, vector=vector: forged(consortium, request, vector=vector))
    tiny.run(driver, members)
    assert driver.done
    assert all(np.isfinite(counts).all() for counts in driver.progress.evaluation.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"vector": bytes(8)},
        {"roster_hash": bytes(32)},
        {"model_hash": bytes(32)},
        {"plan_hash": bytes(32)},
        {"attempt": 2},
        {"round": 2},
        {"role": Role.TRAIN},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_contribution_to_something_else_is_refused(consortium, members, changes):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="preflight")
    with pytest.raises(JobError, match="not asked for"):
        answer(driver, members, lambda request: forged(consortium, request, **changes))


def test_the_first_to_lie_does_not_keep_the_others_from_a_resume(consortium, members, tmp_path):
    driver = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    tiny.run(driver, members, until="preflight")
    with pytest.raises(JobError):
        answer(driver, members, lambda request: forged(consortium, request, vector=filled(consortium, 2**63 - 1)))
    tiny.run(driver, members)
    assert driver.done
    assert tiny.coordinator(consortium, tmp_path / "job.sqlite").done


@pytest.mark.parametrize(
    "receipt",
    [
        lambda plan, _: Receipt(plan, bytes(32), b"{}", 1),
        lambda plan, model: Receipt(plan, model, b"no statement", 1),
        lambda plan, model: Receipt(plan, model, b"[" * 100_000, 1),
        lambda _, model: Receipt(bytes(32), model, b"{}", 1),
    ],
    ids=["another model", "no JSON", "nested", "another job"],
)
def test_a_receipt_for_something_else_is_refused(consortium, members, receipt):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="release")

    def lie(request):
        asked = open_envelope(request).verify(consortium.coordinator_key.public)
        return consortium.keys["bank-2"].seal("bank-2", receipt(asked.plan_hash, digest("model", asked.model)))

    answer(driver, members, lie)
    assert driver.done
    assert set(driver.receipts()) == {"bank-1", "hospital-1"}


def test_a_members_words_do_not_rule_the_console(consortium, members):
    driver = tiny.coordinator(consortium)

    def shout(request):
        refusal = Refusal(envelope_hash(request), "x" * 1000, "\x1b[2J\r\n" + "y" * 100_000)
        return consortium.keys["bank-2"].seal("bank-2", refusal)

    with pytest.raises(JobError) as caught:
        answer(driver, members, shout)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_member_cannot_keep_the_job_busy_for_ever(consortium, members):
    """It asks for a higher attempt each time."""
    driver = tiny.coordinator(consortium, quorum=2)
    tiny.run(driver, members, until="preflight")

    def again(request):
        refusal = Refusal(envelope_hash(request), "attempt", "another one, please")
        return consortium.keys["bank-2"].seal("bank-2", refusal)

    for _ in range(consortium.plan.privacy.max_attempts - 1):
        answer(driver, members, again)
    assert driver.institutions == ("bank-1", "hospital-1")


def test_a_step_that_cannot_be_folded_is_not_stored(consortium, members, tmp_path, monkeypatch):
    driver = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    tiny.run(driver, members, until="preflight")
    with monkeypatch.context() as patch:
        patch.setattr(coordinator_module, "advance", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            tiny.run(driver, members, until="train")
    assert tiny.coordinator(consortium, tmp_path / "job.sqlite").next_step().phase == "preflight"
    tiny.run(driver, members)
    assert driver.done


def test_a_store_that_was_never_finished_is_started_anew(consortium, tmp_path):
    """Its maker died between the tables and the plan, which are one transaction now; an empty file is one too."""
    (tmp_path / "job.sqlite").touch()
    assert tiny.coordinator(consortium, tmp_path / "job.sqlite").next_step().phase == "join"

    class DiesAtThePlan(sqlite3.Connection):
        def execute(self, sql, *parameters):
            if sql.startswith("INSERT INTO job"):
                raise KeyboardInterrupt
            return super().execute(sql, *parameters)

    path, connect = tmp_path / "half.sqlite", sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=DiesAtThePlan, **kwargs))
        with pytest.raises(KeyboardInterrupt):
            JobStore(path, consortium.plan.to_bytes())
    assert len(_SCHEMA) == 4
    assert tiny.coordinator(consortium, path).next_step().phase == "join"


def test_a_store_that_is_none_is_named(consortium, tmp_path):
    (tmp_path / "job.sqlite").write_bytes(b"not a database, whatever its name says" * 40)
    with pytest.raises(JobError, match="damaged"):
        tiny.coordinator(consortium, tmp_path / "job.sqlite")


def test_two_coordinators_of_one_job_do_not_mix(consortium, members, tmp_path):
    first, second = (tiny.coordinator(consortium, tmp_path / "job.sqlite") for _ in range(2))
    tiny.run(first, members, until="preflight")
    with pytest.raises(JobError, match="no other coordinator"):
        tiny.run(second, members)
    tiny.run(first, members)
    assert first.done


def test_a_store_is_its_owners(consortium, tmp_path):
    tiny.coordinator(consortium, tmp_path / "job.sqlite")
    assert (tmp_path / "job.sqlite").stat().st_mode & 0o077 == 0


def test_very_loud_noise_has_a_variance_still():
    """Strict terms for a person with many records need a variance beyond 64 bits."""
    strict = tiny.LOCAL.model_copy(
        update={"unit": PrivacyUnit.PERSON, "max_records_per_person": 1000, "epsilon": 0.001, "delta": 1e-8}
    )
    loud = tiny.federation(tiny.spec(strict))
    plan = loud.plan
    assert plan.phases.train.noise_variance["bank"] > 2**63
    for role in Role:
        variance = noise_variance(plan, loud.dictionary, role, plan.members)
        stated = plan.phases.of(role).noise_variance
        loudest = 2 * stated["bank"] + (0 if role is Role.EVALUATE else stated["hospital"])
        assert variance.max() == pytest.approx(loudest, rel=1e-12)
        assert np.all(variance >= 0)
