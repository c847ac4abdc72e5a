"""From a PLAN.yaml to a job: the plan with its noise, and the folder from which every run of the job starts."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import ConfigError, JobError
from fedcredit.plan import Plan
from fedcredit.planning import JobRequest, make_plan
from fedcredit.privacy import gdp
from fedcredit.roster import Roster
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import SigningKey
from server.coordinator_file import CoordinatorFile
from server.plan_file import PlanFile

PLAN, DICTIONARY, STORE, RELEASED = "plan.json", "dictionary.yaml", "job.sqlite", "released"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that could be submitted.

    Attributes
    ----------
    quorum
        Fewest institutions with which it goes on; None means all.
    """

    plan: Plan
    dictionary: DataDictionary
    quorum: int | None


def compose(file: CoordinatorFile, asked: PlanFile) -> NewJob:
    """Make the plan of a job from what is asked for and the consortium as it is today.

    Raises
    ------
    ConfigError, PrivacyError
        If the roster is not signed by all or has expired, the dictionary is another than the plan file names, or what
        is asked for cannot be promised.
    """
    roster, dictionary = current_roster(file), load_dictionary(file.dictionary)
    if asked.dictionary is not None and asked.dictionary != dictionary.digest().hex():
        raise ConfigError(
            f"job {asked.job} is written for dictionary {asked.dictionary} and {file.dictionary} is "
            f"{dictionary.digest().hex()}; use that dictionary, or adapt PLAN.yaml to this one."
        )
    if asked.quorum is not None and asked.quorum > len(roster.members):
        raise ConfigError(f"quorum {asked.quorum} is more than the roster's {len(roster.members)} members; lower it.")
    request = JobRequest(
        job=asked.job,
        purpose=asked.purpose,
        coordinator=file.name,
        coordinator_key=SigningKey.load(file.key).public,
        roster=roster,
        privacy=asked.terms(gdp.default_delta(roster.total_size)),
        shares=asked.budget_shares(),
        model=asked.model,
        evaluation=asked.evaluation,
        evaluation_percent=asked.evaluation_percent,
        coordinator_region=file.region,
        renyi_order=asked.renyi_order,
    )
    return NewJob(make_plan(request, dictionary), dictionary, asked.quorum)


def current_roster(file: CoordinatorFile) -> Roster:
    """The roster, if jobs can be run under it today.

    Raises
    ------
    ConfigError
        If a member has not signed it, or it has expired.
    """
    roster, today = load_roster(file.roster), datetime.now(UTC).date()
    if roster.expired(today):
        raise ConfigError(
            f"roster {file.roster} expired on {roster.expires} and today is {today} (UTC); have all members sign the "
            "next version: fedcredit institution approve"
        )
    return roster


def write_job(file: CoordinatorFile, job: NewJob) -> Path:
    """Write a job's folder in one step; the path of its JOB.yaml.

    Raises
    ------
    JobError
        If the folder exists and a job has begun in it.
    """
    folder = file.job_folder(job.plan.job)
    if (folder / STORE).exists():
        raise JobError(f"folder {folder} holds a job that has begun; give the new job another name.")
    for private in (file.state, folder.parent):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as name:
        new = Path(name) / folder.name
        _fill(new, file, job)
        # What is left of a command that was killed before the job stood in the queue.
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return folder / "JOB.yaml"


def _fill(folder: Path, file: CoordinatorFile, job: NewJob) -> None:
    folder.mkdir(mode=0o700)
    names = {"plan": PLAN, "dictionary": DICTIONARY, "key": str(file.key), "store": STORE, "results": RELEASED}
    fields = names if job.quorum is None else {**names, "quorum": job.quorum}
    contents = {
        PLAN: job.plan.to_bytes(),
        # A copy: the job is resumed with it whatever happens to the original.
        DICTIONARY: file.dictionary.read_bytes(),
        "JOB.yaml": yaml.safe_dump(fields, sort_keys=False).encode(),
    }
    for name, content in contents.items():
        with (folder / name).open("wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
