"""From PLAN.yaml to a queued job: what is refused, what is told, what lies in the folder."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError, JobError
from fedcredit.plan import parse_plan
from fedcredit.roster_file import SignedRoster, write_roster_file
from server.__main__ import app
from server.coordinator_file import CoordinatorFile, load_coordinator_file
from server.job import load_job_file, open_job
from server.new_job import compose, write_job
from server.plan_file import load_plan_file
from tests.coordinators import members, write_coordinator, write_plan
from tests.rosters import roster, signed

NAMES = ("bank-1", "bank-2", "hospital-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_coordinator(tmp_path)


@pytest.fixture
def file(path: Path) -> CoordinatorFile:
    return load_coordinator_file(path)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_submitted_job_can_be_opened_by_the_serverapp(file: CoordinatorFile, tmp_path: Path) -> None:
    job = write_job(file, compose(file, load_plan_file(write_plan(tmp_path, quorum=2))))
    coordinator = open_job({"job": str(job)})
    assert coordinator.institutions == NAMES
    assert load_job_file(job).quorum == 2
    assert not {folder.stat().st_mode & 0o077 for folder in (job.parent, job.parent.parent, file.state)} - {0}


def test_the_job_keeps_its_own_dictionary(file: CoordinatorFile, tmp_path: Path) -> None:
    job = write_job(file, compose(file, load_plan_file(write_plan(tmp_path))))
    file.dictionary.unlink()
    open_job({"job": str(job)})


def test_the_plan_is_told_in_words_and_not_queued(path: Path, tmp_path: Path) -> None:
    told = run("plan", path, write_plan(tmp_path), "--out", tmp_path / "out")
    assert "7 message exchanges if nothing fails" in told
    assert "bank-2 (bank, 400 records)" in told
    assert "ε 4 at δ 1e-05 per record for the whole job, 10 % of it kept for retries" in told
    assert "ε of each hospital: " in told
    assert parse_plan((tmp_path / "out/plan.json").read_bytes()).job == "first"
    assert json.loads(run("status", path, "--json")) == {"jobs": []}


def test_without_noise_no_epsilon_is_told(path: Path, tmp_path: Path) -> None:
    told = run("plan", path, write_plan(tmp_path, privacy={"placement": "none"}))
    assert "no noise" in told
    assert "ε" not in told


def test_submit_status_stop_resume(path: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    assert "job first is queued" in run("submit", path, plan)
    with pytest.raises(JobError, match="job 'first' already"):
        run("submit", path, plan)
    assert "first" in run("status", path)
    assert "job first is stopped" in run("stop", path, "first")
    (job,) = json.loads(run("status", path, "--json"))["jobs"]
    assert (job["state"], job["reason"], job["runs"]) == ("stopped", "stopped before it ran", 0)
    run("resume", path, "first")
    assert "phase" in run("watch", path, "--once")


def test_watch_without_a_job_says_so(path: Path) -> None:
    with pytest.raises(ConfigError, match="no job runs or waits"):
        run("watch", path, "--once")


def test_a_killed_submit_leaves_nothing_in_the_way(file: CoordinatorFile, path: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    write_job(file, compose(file, load_plan_file(plan)))
    assert "is queued" in run("submit", path, plan)


def test_a_folder_in_which_a_job_began_is_not_overwritten(file: CoordinatorFile, path: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    job = write_job(file, compose(file, load_plan_file(plan)))
    open_job({"job": str(job)})
    with pytest.raises(JobError, match="holds a job that has begun"):
        run("submit", path, plan)


def test_an_unsigned_or_expired_roster_is_refused(file: CoordinatorFile, tmp_path: Path) -> None:
    asked = load_plan_file(write_plan(tmp_path))
    write_roster_file(file.roster, SignedRoster(members(*NAMES), {}))
    with pytest.raises(ConfigError, match="is not signed by"):
        compose(file, asked)
    write_roster_file(file.roster, signed(roster(*NAMES, expires="2020-01-01")))
    with pytest.raises(ConfigError, match="expired on 2020-01-01"):
        compose(file, asked)


def test_another_dictionary_than_the_plan_file_names_is_refused(file: CoordinatorFile, tmp_path: Path) -> None:
    digest = load_dictionary(file.dictionary).digest().hex()
    compose(file, load_plan_file(write_plan(tmp_path, dictionary=digest)))
    with pytest.raises(ConfigError, match=f"{digest}; use that dictionary"):
        compose(file, load_plan_file(write_plan(tmp_path, dictionary="0" * 64)))


def test_a_quorum_above_the_roster_is_refused(file: CoordinatorFile, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quorum 4 is more than"):
        compose(file, load_plan_file(write_plan(tmp_path, quorum=4)))
