"""A whole job over a Grid: how many exchanges it takes, what is reported meanwhile, and what a restart sends again."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from fedcredit.errors import AbsenceError
from fedcredit.models.family import family_of
from fedcredit.wire.canonical import canonical_json
from server.faults import FAULTS
from server.job_status import read_status
from server.pacing import Pacing
from server.strategy import CoordinatorStrategy
from server.verdict import sentence
from tests import tiny
from tests.rosters import NODE_KEYS

MASKED = tiny.NONE.model_copy(update={"masks": True, "max_drops": 0})
NODES = {"bank-1": 11, "bank-2": 12, "hospital-1": 13}


def pem(text):
    return load_ssh_public_key(text.encode()).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pinned(consortium):
    """The same consortium, under a roster that pins everybody's node."""
    roster = consortium.plan.roster
    members = tuple(one.model_copy(update={"node_key": NODE_KEYS[one.id]}) for one in roster.members)
    plan = consortium.plan.model_copy(update={"roster": roster.model_copy(update={"members": members})})
    return replace(consortium, plan=plan)


def started(grid, clock, consortium, job, path, **options):
    members = tiny.custodians(consortium, job)
    grid.nodes = {NODES[name]: members[name].handle for name in members}
    return strategy(clock, tiny.coordinator(consortium, path), **options)


def strategy(clock, coordinator, *, step_timeout_s=1800.0, sleep=None):
    pacing, lines = Pacing(step_timeout_s=step_timeout_s), []
    sleep = sleep or clock.sleep
    made = CoordinatorStrategy(coordinator, pacing, announce=lines.append, clock=clock, sleep=sleep)
    return made, coordinator, lines


def batches(grid):
    """Labels of the messages that went out, each batch once."""
    return list(dict.fromkeys(message.metadata.group_id for message in grid.pushed))


def model_of(driver):
    return canonical_json(family_of(driver.plan.model.family).release(driver.progress.state))


@pytest.mark.parametrize(("pin", "rounds", "exchanges"), [(True, 18, 23), (True, 2, 7), (False, 2, 8)])
def test_a_masked_job_takes_its_rounds_and_five_exchanges(grid, clock, tmp_path, pin, rounds, exchanges):
    """Join, keys, preflight, the rounds, evaluation, release; and one for who is who, unless the roster says so."""
    job = tiny.spec(MASKED, rounds=rounds)
    consortium = pinned(tiny.federation(job)) if pin else tiny.federation(job)
    if pin:
        grid.keys = {NODES[name]: pem(NODE_KEYS[name]) for name in NODES}
    made, driver, lines = started(grid, clock, consortium, job, tmp_path / "job.sqlite")
    made.start(grid)
    assert driver.done
    assert len(batches(grid)) == exchanges
    assert ("identify" in batches(grid)) == (not pin)
    status = read_status(tmp_path)
    assert (status.state, status.exchanges, status.steps_left) == ("done", exchanges, 0)
    asked = [message for message in grid.pushed if message.metadata.group_id != "identify"]
    assert status.bytes_out == sum(len(one.content.config_records["fedcredit"]["envelope"]) for one in asked)
    assert len(status.seconds) == rounds + 5
    assert not any("did not answer" in line for line in lines)


def test_a_restarted_coordinator_asks_only_who_had_not_answered(grid, clock, tmp_path):
    """The ServerApp dies in a slow round; the next one on the same store does not ask the quick ones again."""
    job = tiny.spec(MASKED)
    consortium = tiny.federation(job)

    class KilledError(Exception):
        pass

    def dying(seconds):
        clock.sleep(seconds)
        if grid.pushed[-1].metadata.group_id == "train-1" and clock.now > 20.0:
            raise KilledError

    made, _, _ = started(grid, clock, consortium, job, tmp_path / "job.sqlite", sleep=dying)
    slow = grid.nodes[13]
    grid.nodes[13] = lambda request: None if grid.pushed[-1].metadata.group_id == "train-1" else slow(request)
    with pytest.raises(KilledError):
        made.start(grid)
    before = read_status(tmp_path)
    assert [(one.institution, one.asked) for one in before.waiting] == [("hospital-1", 1)]
    grid.nodes[13], seen = slow, len(grid.pushed)
    made, driver, _ = strategy(clock, tiny.coordinator(consortium, tmp_path / "job.sqlite"))
    made.start(grid)
    again = [one.metadata.dst_node_id for one in grid.pushed[seen:] if one.metadata.group_id == "train-1"]
    assert again == [13]
    assert read_status(tmp_path).exchanges == before.exchanges + 1 + 4
    straight = tiny.coordinator(consortium)
    tiny.run(straight, tiny.custodians(consortium, job))
    assert model_of(driver) == model_of(straight)


def test_a_member_that_stays_away_leaves_the_job_waiting_with_the_reason_in_the_news(grid, clock, tmp_path):
    job = tiny.spec(MASKED)
    path = tmp_path / "job.sqlite"
    made, _, lines = started(grid, clock, tiny.federation(job), job, path, step_timeout_s=50.0)
    custodian = grid.nodes[13]
    grid.nodes[13] = lambda request: 1007 if grid.pushed[-1].metadata.group_id == "train-2" else custodian(request)
    with pytest.raises(AbsenceError, match="train has 2 of 3 institutions"):
        made.start(grid)
    status = read_status(tmp_path)
    assert (status.state, status.phase, status.round) == ("stopped", "train", 2)
    cause = sentence(FAULTS[1007].words())
    assert status.reason.startswith(f"train has 2 of 3 institutions (hospital-1: {cause}")
    told = [line for line in lines if "NODE.yaml" in line and "refused" not in line]
    assert len(told) == 2  # asked twice, told twice
    assert f"hospital-1 refused train 2: {cause}" in lines
