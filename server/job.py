"""A prepared job on the coordinator's disk: JOB.yaml names the plan, the dictionary, the key and where things go.

Nothing of it travels in Flower's run config except the path of this file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError
from fedcredit.job.progress import Progress
from fedcredit.job.store import Decided, JobStore
from fedcredit.wire.envelope import SigningKey
from server.coordinator import Coordinator
from server.results import release_files, write_files


class JobFile(BaseModel):
    """The fields of JOB.yaml; paths are relative to the file.

    Attributes
    ----------
    quorum
        Fewest institutions with which the job goes on; None means all of the roster.
    results
        Folder that is made at the end of the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Path
    dictionary: Path
    key: Path
    store: Path
    results: Path
    quorum: int | None = Field(default=None, ge=1)


def load_job_file(path: Path) -> JobFile:
    """Read JOB.yaml and resolve its paths against its folder.

    Raises
    ------
    ConfigError
        If the file is missing or holds a wrong, unknown or missing field.
    """
    try:
        job = JobFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"job file {path} does not exist.") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"job file {path} is not usable: {error}") from error
    folder = path.resolve().parent
    names = ("plan", "dictionary", "key", "store", "results")
    return job.model_copy(update={name: folder / getattr(job, name) for name in names})


def open_job(config: Mapping[str, Any], on_decided: Callable[[Decided, Progress], None] | None = None) -> Coordinator:
    """Open, or resume, the job that a run config names.

    Parameters
    ----------
    config
        ``{"job": PATH}``; nothing else is read from it.

    Raises
    ------
    ConfigError
        If the config names no job, or one of its files is unusable.
    """
    job = load_job_file(_job_path(config))
    plan = job.plan.read_bytes()
    return Coordinator(
        plan,
        load_dictionary(job.dictionary),
        SigningKey.load(job.key),
        JobStore(job.store, plan),
        quorum=job.quorum,
        on_decided=on_decided,
    )


def write_results(coordinator: Coordinator, config: Mapping[str, Any]) -> Path:
    """Write what the job released into its results folder: plan, dictionary, model, evaluation, receipts.

    Returns
    -------
    Path
        The folder.
    """
    folder = load_job_file(_job_path(config)).results
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, release_files(coordinator))
    return folder


def job_folder(config: Mapping[str, Any]) -> Path:
    """Folder of the JOB.yaml that a run config names.

    Raises
    ------
    ConfigError
        If the config names no job, or its folder does not exist.
    """
    folder = _job_path(config).resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"job folder {folder} does not exist; give the path of a JOB.yaml on this machine.")
    return folder


def _job_path(config: Mapping[str, Any]) -> Path:
    if not isinstance(config.get("job"), str):
        raise ConfigError('the run config names no job; give cfg-json = {"job": "/path/of/JOB.yaml"}.')
    return Path(config["job"])
