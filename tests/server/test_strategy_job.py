"""A real job over a Grid: same custodians, same coordinator, the same model as over function calls; and resumed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.wire.canonical import canonical_json
from server.coordinator import Coordinator
from server.pacing import Pacing
from server.strategy import CoordinatorStrategy
from simulations.dataset import institutions_of, load
from simulations.federation import Federation, JobSpec, custodian_of, found, run_in_process
from simulations.partition import deal, institution_ids
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config


@pytest.fixture(scope="module")
def job() -> tuple[Federation, JobSpec]:
    config = compose_config(["privacy=none", "federation.banks=2", "federation.hospitals=1"])
    dictionary, table = load(data_spec(config))
    settings = read_settings(config, table.bad.size)
    spec = replace(settings.job, model=settings.job.model.model_copy(update={"rounds": 2}))
    names = list(institution_ids(settings.banks, settings.hospitals))
    parts = deal(table, len(names), settings.split, settings.seed)
    return found(dictionary, institutions_of(dictionary, table, parts, names), spec), spec


def released(coordinator: Coordinator) -> bytes:
    return canonical_json(family_of(coordinator.plan.model.family).release(coordinator.progress.state))


@pytest.fixture(scope="module")
def expected(job: tuple[Federation, JobSpec]) -> bytes:
    outcome = run_in_process(*job)
    return canonical_json(family_of(outcome.plan.model.family).release(outcome.progress.state))


@pytest.fixture
def coordinator_on(job: tuple[Federation, JobSpec], tmp_path: Path) -> Callable[[], Coordinator]:
    """A new coordinator on the same store, as after a crash."""

    def open_job() -> Coordinator:
        federation, _ = job
        plan = federation.plan.to_bytes()
        return Coordinator(plan, federation.dictionary, federation.coordinator_key, JobStore(tmp_path / "job", plan))

    return open_job


@pytest.fixture
def served(job: tuple[Federation, JobSpec], grid):
    federation, spec = job
    for number, one in enumerate(federation.institutions):
        grid.nodes[100 + number] = custodian_of(federation, one, spec, None).handle
    return grid


def strategy_of(coordinator, clock):
    return CoordinatorStrategy(coordinator, Pacing(), announce=lambda _: None, clock=clock, sleep=clock.sleep)


def test_the_grid_changes_nothing(coordinator_on, served, clock, expected) -> None:
    coordinator = coordinator_on()
    strategy_of(coordinator, clock).start(served)
    assert coordinator.done
    assert released(coordinator) == expected
    assert set(coordinator.receipts()) == {"bank-1", "bank-2", "hospital-1"}


@pytest.mark.parametrize("crash_at", range(1, 9))
def test_a_job_that_was_cut_off_ends_with_the_same_model(
    crash_at: int, coordinator_on, served, clock, expected, monkeypatch
) -> None:
    """Once before each exchange: identification, join, keys, preflight, two rounds, evaluation, release."""
    pushes = []
    push = served.push_messages

    def crashing(messages):
        pushes.append(len(messages))
        if len(pushes) == crash_at:
            raise ConnectionError
        return push(messages)

    monkeypatch.setattr(served, "push_messages", crashing)
    with pytest.raises(ConnectionError):
        strategy_of(coordinator_on(), clock).start(served)
    resumed = coordinator_on()
    before = len(pushes)
    strategy_of(resumed, clock).start(served)
    assert released(resumed) == expected
    # One identification of the new run, and the exchanges that were not decided.
    assert len(pushes) - before == 1 + 7 - max(crash_at - 2, 0)
