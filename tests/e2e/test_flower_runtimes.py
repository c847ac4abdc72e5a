"""Real Flower: the same model in every runtime, a bare ``flwr run .``, a clear failure, and nothing left behind."""

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcredit.errors import JobError
from fedcredit.models.family import family_of
from fedcredit.plan import Placement
from fedcredit.wire.canonical import canonical_json
from simulations.dataset import load
from simulations.federation import JobOutcome
from simulations.flower import run_in_flower_simulation
from simulations.flower_runner import hosted, runner_of
from simulations.job_files import write_job
from simulations.processes import ROOT
from simulations.run import Prepared, prepare
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NOT_IN_A_CLONE = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "runs", "multirun", "dist")
STOPPED_WITHIN_S = 20.0


@pytest.fixture
def left_running(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Names of processes, started within a test, that are still there when it is over."""
    name, value = "FEDCREDIT_TEST", str(uuid.uuid4())
    monkeypatch.setenv(name, value)
    assignment = f"{name}={value}".encode()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert with_variable(assignment)
        child.communicate(b"\n")

    def running() -> list[str]:
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while (names := with_variable(assignment)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return names

    return running


def with_variable(assignment: bytes) -> list[str]:
    """Names of the processes whose environment holds an assignment."""
    names = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if assignment in (process / "environ").read_bytes().split(b"\0"):
                names.append((process / "comm").read_text().strip())
        except OSError:
            continue  # ended meanwhile, or another user's
    return names


def small_job(*overrides: str) -> Prepared:
    config = compose_config(["federation.banks=1", "federation.hospitals=1", "++model.rounds=2", *overrides])
    dictionary, table = load(data_spec(config))
    return prepare(read_settings(config, table.bad.size), dictionary, table, time.monotonic())


def model_of(outcome: JobOutcome) -> bytes:
    return canonical_json(family_of(outcome.plan.model.family).release(outcome.progress.state))


def test_the_model_is_the_same_bytes_in_every_runtime(tmp_path: Path, left_running: Callable[[], list[str]]) -> None:
    """With masks: what each custodian sends is uniform and never the same twice, the sums are."""
    prepared = small_job("privacy=none", "federation.banks=2")
    assert prepared.federation.plan.privacy.masks
    outcomes = {}
    for runtime in ("in_process", "flower", "loopback"):
        folder = tmp_path / runtime
        folder.mkdir()
        outcomes[runtime] = runner_of(runtime)(prepared.federation, prepared.settings.job, folder, None)
    expected = model_of(outcomes["in_process"])
    for runtime in ("flower", "loopback"):
        assert model_of(outcomes[runtime]) == expected
        assert (tmp_path / runtime / "released" / "model.json").read_bytes() == expected
        assert outcomes[runtime].statements == outcomes["in_process"].statements
    assert left_running() == []


def test_masked_noise_shares_give_the_same_model_over_flower(tmp_path: Path) -> None:
    prepared = small_job("federation.banks=2", "noise.seed=1")
    terms = prepared.federation.plan.privacy
    assert (terms.placement, terms.masks) == (Placement.DISTRIBUTED, True)
    outcomes = []
    for runtime in ("in_process", "flower"):
        (tmp_path / runtime).mkdir()
        run = runner_of(runtime)
        outcomes.append(run(prepared.federation, prepared.settings.job, tmp_path / runtime, None))
    assert model_of(outcomes[0]) == model_of(outcomes[1])


def test_a_bare_flwr_run_works_in_a_clone_of_any_name(tmp_path: Path, left_running: Callable[[], list[str]]) -> None:
    clone = tmp_path / "My_Clone"
    shutil.copytree(ROOT, clone, ignore=NOT_IN_A_CLONE)
    log = run_in_flower_simulation({}, nodes=2, app=clone)
    (run,) = (clone / "runs").iterdir()
    assert f"results: {run / 'released'}" in log
    assert {"model.json", "evaluation.json", "receipts"} <= {path.name for path in (run / "released").iterdir()}
    assert "NOT PRIVATE" in (run / "NOT_PRIVATE.txt").read_text()
    assert left_running() == []


@pytest.mark.long
def test_an_institution_without_a_node_is_named_in_time(tmp_path: Path) -> None:
    prepared = small_job("privacy=none")
    with hosted(prepared.federation, prepared.settings.job, tmp_path, tmp_path / "c.sock") as socket:
        job = write_job(prepared.federation, tmp_path, tmp_path)
        config = {
            "job": str(job),
            "simulation": {"custodians": str(socket)},
            "flower": {"institutions_timeout_s": 25},
        }
        with pytest.raises(JobError, match=r"hospital-1 did not appear within 25 s \(1 Flower nodes are online"):
            run_in_flower_simulation(config, nodes=1)
    assert not (tmp_path / "released").exists()
