"""Kill -9 of each kind of process in each phase of a job over TLS with node authentication: the job goes on.

Each time the model's bytes are those of the same plan in process, what an institution's ledger holds is what the
coordinator has, and no step is in a ledger twice under the same attempt. The whole matrix is long; without ``--long``
two jobs meet one kill of every kind in a phase that is charged and in one that is not.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.job.store import JobStore
from fedcredit.plan import Plan
from tests.deployment.live import KINDS, LiveConsortium, frozen

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

AT_INSTITUTION = ("supernode", "runner", "custodian")
PHASES = ("join", "keys", "preflight", "train 1", "train 2", "evaluate", "release")
# A spread: every kind once in a charged phase, once in another.
JOBS = {
    "one": (("runner", "join"), ("custodian", "preflight"), ("superlink", "train 1"), ("serverapp", "train 2")),
    "two": (("superlink", "keys"), ("supernode", "preflight"), ("runner", "train 1"), ("serverapp", "release")),
}


@pytest.fixture(scope="module")
def consortium() -> Iterator[LiveConsortium]:
    with tempfile.TemporaryDirectory(prefix="fc-") as folder, LiveConsortium(Path(folder)) as running:
        yield running
    assert running.left_over == []
    # The others stop Flower's processes first, which takes its time.
    assert [name for name in running.unstopped if name.startswith("custodian-")] == []


@pytest.mark.long  # the jobs below end with the same comparison
def test_a_job_over_tls_gives_the_model_of_the_same_plan_in_process(consortium: LiveConsortium) -> None:
    plan = consortium.submit("quiet")
    assert consortium.finish(plan) == consortium.expected(plan)
    check_ledgers(consortium, plan)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_outlives_a_kill_in_each_phase(consortium: LiveConsortium, job: str) -> None:
    plan = consortium.submit(f"kills-{job}")
    for number, (kind, phase) in enumerate(JOBS[job]):
        consortium.wait_for(plan, phase)
        kill(consortium, kind, number)
    assert consortium.finish(plan) == consortium.expected(plan)
    check_ledgers(consortium, plan)


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_phase(consortium: LiveConsortium, kind: str, phase: str) -> None:
    plan = consortium.submit(f"{kind}-{phase.replace(' ', '-')}")
    consortium.wait_for(plan, phase)
    kill(consortium, kind, PHASES.index(phase))
    assert consortium.finish(plan) == consortium.expected(plan)
    check_ledgers(consortium, plan)


@pytest.mark.long
@pytest.mark.parametrize("down_s", [10, 95])
def test_a_job_outlives_a_superlink_that_stays_away(consortium: LiveConsortium, down_s: int) -> None:
    """For more than 60 s, Flower gives up the run, and the job goes on in another one."""
    plan = consortium.submit(f"away-{down_s}")
    consortium.wait_for(plan, "train 1")
    with frozen(consortium.supervisor()):  # which would start it again
        consortium.kill("superlink")
        time.sleep(down_s)
    assert consortium.finish(plan) == consortium.expected(plan)
    check_ledgers(consortium, plan)


def kill(consortium: LiveConsortium, kind: str, number: int) -> None:
    """Another institution each time."""
    names = consortium.institutions
    consortium.kill(kind, names[number % len(names)] if kind in AT_INSTITUTION else None)


def check_ledgers(consortium: LiveConsortium, plan: Plan) -> None:
    """What the coordinator used is in the ledgers, byte for byte, and no slot is there twice."""
    with JobStore(consortium.job_folder(plan.job) / "job.sqlite", plan.to_bytes()) as store:
        steps = [("preflight", 1), *(("train", one + 1) for one in range(2)), ("evaluate", 1)]
        used = {step: store.packets(*step) for step in steps}
    for name in consortium.institutions:
        slots, sent = consortium.sent(name, plan)
        assert len(set(slots)) == len(slots)
        for step, packets in used.items():
            assert packets[name] in sent, f"{name} has no record of what was used in {step}"
