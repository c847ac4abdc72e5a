"""One point of a sweep: its settings, the name that follows from them, and the run.

A point is named by the SHA-256 of its resolved settings, of the files that they name and of the package's version. The
same point has the same name on every machine, so that it is recognised when a sweep goes on.
"""

import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedcredit import __version__
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import CheckError, ConfigError, FedcreditError
from fedcredit.wire.canonical import canonical_json
from simulations.config_tree import parse_config
from simulations.dataset import DataSpec, load
from simulations.partition import PooledTable
from simulations.results import RunResult
from simulations.run import Prepared, execute, prepare
from simulations.runners import runner_for
from simulations.settings import data_spec, read_settings

NOT_SETTINGS = ("run", "sweep", "hydra")
"""Keys of the configuration that say where and how to run, and change no result."""
_FILES = ("path", "dictionary", "mapping")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Point:
    """One run that a sweep asks for.

    Attributes
    ----------
    number
        Position in the sweep, from 0.
    config
        The composed configuration, plain values.
    name
        What follows from the settings: 16 hexadecimal digits.
    """

    number: int
    config: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker hands back as text: a finished point, or the sentence that says why there is none."""

    finished: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedPoint:
    """A finished point.

    Attributes
    ----------
    settings
        Resolved settings.
    kinds, rows
        Type and public size of each institution.
    cpu_seconds
        Of the worker's process, for this point.
    worker
        Where it ran: machine and process.
    """

    settings: Mapping[str, Any]
    kinds: Mapping[str, str]
    rows: Mapping[str, int]
    result: RunResult
    cpu_seconds: float
    worker: str

    def to_json(self) -> str:
        """Return the point's file; the result is what a run's ``metrics.json`` holds."""
        tree = {
            "format": _FORMAT,
            "settings": self.settings,
            "institutions": {name: {"kind": kind, "rows": self.rows[name]} for name, kind in self.kinds.items()},
            "cpu_seconds": self.cpu_seconds,
            "worker": self.worker,
            "result": json.loads(self.result.to_json()),
        }
        return json.dumps(tree, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "FinishedPoint":
        """Read what `to_json` wrote.

        Raises
        ------
        ConfigError
            If the text is of another version, or damaged.
        DataError
            If the result is not that of a run.
        """
        try:
            tree = json.loads(text)
            if tree["format"] != _FORMAT:
                raise ConfigError(f"format {tree['format']!r} of a point is not {_FORMAT}; sweep into a new folder.")
            members = tree["institutions"]
            return cls(
                tree["settings"],
                {name: one["kind"] for name, one in members.items()},
                {name: one["rows"] for name, one in members.items()},
                RunResult.from_json(json.dumps(tree["result"])),
                tree["cpu_seconds"],
                tree["worker"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a point of the sweep is damaged ({error}); remove its file, to run it again."
            ) from error


def point_of(number: int, config: Mapping[str, Any]) -> Point:
    """Name one run of a sweep.

    Raises
    ------
    ConfigError
        If the configuration has an unknown key or a value of another type, or names a file that cannot be read.
    """
    named = {"settings": settings_of(config), "version": __version__, "files": _file_hashes(config)}
    return Point(number, config, hashlib.sha256(canonical_json(named)).hexdigest()[:16])


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved settings as JSON values: equal settings are equal whichever way they were written."""
    return parse_config(config).model_dump(mode="json", exclude=set(NOT_SETTINGS))


def check(point: Point) -> None:
    """Read a point's table and settings, and run nothing.

    Raises
    ------
    FedcreditError
        If the table or a setting is unusable.
    """
    read_settings(point.config, table_of(data_spec(point.config))[1].bad.size)


def answer(config: Mapping[str, Any]) -> Answer:
    """Run one point in this process; what is wrong with its settings comes back as text."""
    try:
        return Answer(run_point(config).to_json())
    except CheckError as error:
        return Answer(None, " ".join(error.problems))
    except FedcreditError as error:
        return Answer(None, str(error))


def run_point(config: Mapping[str, Any]) -> FinishedPoint:
    """Run one point; nothing is written.

    Raises
    ------
    FedcreditError
        If a setting, the table or the plan is unusable.
    """
    started, cpu = time.monotonic(), time.process_time()
    dictionary, table = table_of(data_spec(config))
    prepared = prepare(read_settings(config, table.bad.size), dictionary, table, started)
    result = _result(prepared)
    institutions = prepared.federation.institutions
    return FinishedPoint(
        settings_of(config),
        {one.id: one.kind for one in institutions},
        {one.id: one.size for one in institutions},
        result,
        round(time.process_time() - cpu, 3),
        f"{socket.gethostname()}:{os.getpid()}",
    )


def table_of(spec: DataSpec) -> tuple[DataDictionary, PooledTable]:
    """Load a table once per process, whatever the seed unless the seed draws its rows."""
    return _loaded(spec if spec.rows is not None else replace(spec, seed=0))


@lru_cache(maxsize=8)
def _loaded(spec: DataSpec) -> tuple[DataDictionary, PooledTable]:
    return load(spec)


def _result(prepared: Prepared) -> RunResult:
    """Function calls need no files; Flower's runtimes do, and theirs go when the point is done."""
    run = runner_for(prepared.settings)
    if prepared.settings.runtime in ("in_process", "cohort"):
        return execute(prepared, None, runner=run).result
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as scratch:
        return execute(prepared, Path(scratch), runner=run).result


def _file_hashes(config: Mapping[str, Any]) -> dict[str, str]:
    named = {key: config["data"][key] for key in _FILES if config["data"][key] is not None}
    return {key: _file_hash(str(path)) for key, path in named.items()}


@lru_cache(maxsize=64)
def _file_hash(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name a file.") from error
