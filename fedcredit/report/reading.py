"""From a folder to what a report is computed from: a coordinator's released files, or a simulation's run folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.job.released_counts import ReleasedCounts, parse_counts
from fedcredit.models.joint_release import read_joint_view
from fedcredit.plan import parse_plan
from fedcredit.report.inputs import Assumptions, ReportInputs
from fedcredit.verify.run_files import RunFiles, find_run
from fedcredit.wire.canonical import parse_json

LINKED = "linked"
"""Folder of a run's linked job, beside its base job's files."""

_OF_A_JOB = ("*.json", "*.yaml", "model.safetensors*", "receipts/*")


def read_inputs(run: Path, assumptions: Assumptions, earlier: Path | None = None) -> ReportInputs:
    """Read a finished job.

    Parameters
    ----------
    run
        A simulation's run folder, or a coordinator's folder of released files.
    earlier
        Another job's folder, to compare populations with.

    Raises
    ------
    ConfigError
        If a file is missing, unreadable or of another job.
    """
    files = find_run(run, None)
    plan = parse_plan(_content(files, "plan.json"))
    dictionary = parse_dictionary(_content(files, "dictionary.yaml"), "dictionary.yaml")
    if dictionary.digest().hex() != plan.dictionary:
        raise ConfigError(
            f"{files.released / 'dictionary.yaml'} is not the dictionary that the plan names; restore it."
        )
    outer = files.released.parent if files.released.name == "released" else files.run
    metrics, settings, segments = outer / "metrics.json", outer / "config.yaml", outer / "segments.json"
    linked = outer / LINKED / "released" / "model.json"
    simulated = files.simulated
    return ReportInputs(
        plan=plan,
        dictionary=dictionary,
        model=_json(files, "model.json"),
        counts=read_counts(files),
        job=_json(files, "job.json"),
        statements={name: _object(name, content) for name, content in files.receipts(".json").items()},
        hashes=_hashes(files.released),
        earlier=None if earlier is None else read_counts(find_run(earlier, None)),
        metrics=_object("metrics.json", metrics.read_bytes()) if simulated and metrics.is_file() else None,
        segments=_object("segments.json", segments.read_bytes()) if simulated and segments.is_file() else None,
        joint_view=read_joint_view(_object("model.json", linked.read_bytes())) if linked.is_file() else None,
        settings=_settings(settings) if simulated and settings.is_file() else {},
        simulated=simulated,
        assumptions=assumptions,
    )


def read_counts(files: RunFiles) -> ReleasedCounts:
    """Read a job's released counts.

    Raises
    ------
    ConfigError
        If they are not there.
    """
    return parse_counts(_content(files, "counts.json"))


def _content(files: RunFiles, name: str) -> bytes:
    content = files.read(name)
    if content is None:
        raise ConfigError(f"{files.released} holds no {name}; name the folder of a job that this version finished.")
    return content


def _json(files: RunFiles, name: str) -> Mapping[str, Any]:
    return _object(name, _content(files, name))


def _object(name: str, content: bytes) -> Mapping[str, Any]:
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ConfigError(f"{name} is not JSON ({error}); restore it from the job's folder.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{name} holds {type(value).__name__}, no JSON object; restore it from the job's folder.")
    return value


def _hashes(folder: Path) -> dict[str, str]:
    names = sorted(path for pattern in _OF_A_JOB for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def _settings(path: Path) -> dict[str, str]:
    tree = parse_yaml(path.read_bytes(), path.name, ConfigError)
    return _flat("", {name: branch for name, branch in dict(tree).items() if name not in ("hydra", "run")})


def _flat(prefix: str, tree: Any) -> dict[str, str]:  # noqa: ANN401  (a plain tree)
    if not isinstance(tree, Mapping):
        return {prefix: str(tree)}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in _flat(f"{prefix}.{name}".lstrip("."), branch).items()
    }
