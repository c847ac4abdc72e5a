from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import JobError, RefusalError
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import open_envelope
from simulations.federation import run_in_process
from tests import tiny


def model_json(driver):
    return canonical_json(family_of(driver.plan.model.family).release(driver.progress.state))


def test_a_whole_job(tmp_path):
    job = tiny.spec()
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members)
    assert driver.done
    assert set(driver.receipts()) == set(members)
    phases = consortium.plan.phases
    expected = phases.preflight.rounds + phases.train.rounds + phases.evaluate.rounds
    assert all(len(one.ledger.charges(consortium.plan.digest())) == expected for one in members.values())


def test_without_privacy_two_runs_give_the_same_bytes():
    job = tiny.spec(tiny.NONE)
    first, second = (run_in_process(tiny.federation(job), job) for _ in range(2))
    family = family_of("scorecard")
    assert canonical_json(family.release(first.progress.state)) == canonical_json(family.release(second.progress.state))


@pytest.mark.parametrize("stop", ["preflight", "train", "evaluate", "release"])
def test_a_dead_coordinator_resumes_without_another_charge(tmp_path, stop):
    job = tiny.spec(tiny.NONE)
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    tiny.run(driver, members, until=stop)
    lost = driver.next_step()
    for name, request in lost.requests.items():
        members[name].handle(request)  # answered, but the coordinator died before it counted
    charges = {name: len(one.ledger.charges(consortium.plan.digest())) for name, one in members.items()}
    again = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    step = again.next_step()
    assert (step.phase, step.requests) == (lost.phase, lost.requests)
    again.receive({name: members[name].handle(request) for name, request in step.requests.items()})
    assert charges == {name: len(one.ledger.charges(consortium.plan.digest())) for name, one in members.items()}
    tiny.run(again, members)
    straight = tiny.coordinator(consortium)
    tiny.run(straight, tiny.custodians(consortium, job))
    assert model_json(again) == model_json(straight)


def test_a_store_of_another_job_is_refused(tmp_path):
    job = tiny.spec()
    JobStore(tmp_path / "job.sqlite", tiny.federation(job).plan.to_bytes()).close()
    with pytest.raises(JobError, match="another job"):
        tiny.coordinator(tiny.federation(job), tmp_path / "job.sqlite")


def test_a_refused_join_stops_the_job_and_says_why():
    job = tiny.spec()
    consortium, other = tiny.federation(job), tiny.federation(job)
    members = tiny.custodians(consortium, job)
    members["bank-2"] = tiny.custodians(other, job)["bank-2"]
    driver = tiny.coordinator(consortium)
    step = driver.next_step()
    with pytest.raises(JobError, match="bank-2"):
        driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})


def test_a_silent_institution_is_asked_twice_then_dropped():
    job = tiny.spec(tiny.NONE)
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=2)
    tiny.run(driver, members, until="train")
    del members["bank-2"]
    step = driver.next_step()
    answers = {name: members[name].handle(request) for name, request in step.requests.items() if name in members}
    driver.receive(answers)
    again = driver.next_step()
    assert list(again.requests) == ["bank-2"]
    assert again.requests["bank-2"] == step.requests["bank-2"]
    driver.receive({})
    assert driver.institutions == ("bank-1", "hospital-1")
    tiny.run(driver, members)
    assert driver.done


def test_below_the_quorum_the_job_stops_and_can_be_resumed(tmp_path):
    job = tiny.spec(tiny.NONE)
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    tiny.run(driver, members, until="train")
    driver.receive({})
    with pytest.raises(JobError, match="resume"):
        driver.receive({})
    again = tiny.coordinator(consortium, tmp_path / "job.sqlite")
    tiny.run(again, members)
    assert again.done


def test_an_institution_that_lost_its_bytes_is_asked_again_with_a_higher_attempt():
    job = tiny.spec()
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="preflight")
    step = driver.next_step()
    asked = open_envelope(step.requests["bank-1"]).verify(consortium.coordinator_key.public)
    # Attempt 2 exists at the bank, so attempt 1 never will.
    members["bank-1"].handle(consortium.coordinator_key.seal("coordinator", replace(asked, attempt=2)))
    driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})
    retry = driver.next_step()
    assert (list(retry.requests), retry.phase, retry.attempt) == (list(consortium.plan.members), "preflight", 2)
    tiny.run(driver, members, until="train")
    counts = driver.progress.preflight.counts
    assert [abs(float(count.sum()) - n) < 300 for count, n in zip(counts, (1200, 900, 900, 300), strict=True)]
    charges = {name: len(one.ledger.charges(consortium.plan.digest())) for name, one in members.items()}
    assert charges == {"bank-1": 1, "bank-2": 2, "hospital-1": 2}


def test_one_institution_cannot_speak_for_another():
    job = tiny.spec()
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=1)
    step = driver.next_step()
    reply = members["bank-1"].handle(step.requests["bank-1"])
    with pytest.raises(JobError, match="signed as 'bank-1'"):
        driver.receive(
            {"bank-1": reply, "bank-2": reply, "hospital-1": members["hospital-1"].handle(step.requests["hospital-1"])}
        )


def test_who_is_there_is_proved_by_a_fresh_signature():
    job = tiny.spec()
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    request = driver.identify_request()
    reply = members["bank-2"].handle(request)
    assert driver.identify(request, reply) == "bank-2"
    with pytest.raises(RefusalError, match="did not answer this question"):
        driver.identify(driver.identify_request(), reply)


def test_sums_are_taken_over_owners_only():
    job = tiny.spec(tiny.NONE)
    consortium = tiny.federation(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    counts = driver.progress.preflight.counts
    sizes = {one.id: one.data.train.n_rows for one in consortium.institutions}
    total = [int(np.round(count.sum())) for count in counts]
    banks, everyone = sizes["bank-1"] + sizes["bank-2"], sum(sizes.values())
    assert total == [everyone, banks, banks, sizes["hospital-1"]]
