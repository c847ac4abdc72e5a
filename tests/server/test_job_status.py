"""The news file: what survives it, and how many steps are left from anywhere."""

from datetime import UTC, datetime

import pytest

from fedcredit.custodian.custodian import Custodian
from server.job_status import STATUS_FILE, Awaited, JobStatus, read_status, steps_left
from server.results import write_files
from tests import tiny

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS = JobStatus(
    state="asking",
    phase="train",
    round=2,
    attempt=1,
    members=("bank-1",),
    waiting=(Awaited(institution="bank-1", since=NOW, asked=2, fault="lost"),),
    seconds=(1.0, 9.0, 4.0),
    steps_left=3,
    written=NOW,
)


def test_the_news_survive_their_file(tmp_path):
    write_files(tmp_path, {STATUS_FILE: STATUS.model_dump_json().encode()})
    assert read_status(tmp_path) == STATUS


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b'{"state": "asking"}'])
def test_news_that_cannot_be_read_are_none(tmp_path, content):
    if content is not None:
        (tmp_path / STATUS_FILE).write_bytes(content)
    assert read_status(tmp_path) is None


def test_the_median_step_s_pace_gives_the_time_to_go():
    assert STATUS.eta_s == 12.0
    assert STATUS.model_copy(update={"seconds": ()}).eta_s is None


@pytest.mark.parametrize("masks", [True, False])
def test_each_step_takes_one_from_what_is_left(masks):
    job = tiny.spec(tiny.NONE.model_copy(update={"masks": masks}))
    consortium = tiny.federation(job)
    driver, members = tiny.coordinator(consortium), tiny.custodians(consortium, job)
    left = []
    while (step := driver.next_step()) is not None:
        left.append(steps_left(driver.plan, driver.progress))
        driver.receive({name: members[name].handle(request) for name, request in step.requests.items()})
    assert left == list(range(7 if masks else 6, 0, -1))
    assert steps_left(driver.plan, driver.progress) == 0


def test_a_member_that_joins_again_adds_two_steps():
    job = tiny.spec(tiny.NONE.model_copy(update={"masks": True}))
    consortium = tiny.federation(job)
    driver, members = tiny.coordinator(consortium), tiny.custodians(consortium, job)
    tiny.run(driver, members, until="train")
    bank = members["bank-1"]
    members["bank-1"] = Custodian(bank._site, bank.ledger, noise_law=bank._noise_law)
    tiny.run(driver, members, until="join")
    assert steps_left(driver.plan, driver.progress) == 2 + 4
    tiny.run(driver, members, until="train")
    assert steps_left(driver.plan, driver.progress) == 4
