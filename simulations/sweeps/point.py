"""One point of a sweep: its settings, the name that follows from them, and the run.

A point is named by the SHA-256 of its resolved settings and of what they are made into figures with
(`simulations.sweeps.made_of`). The same point has the same name on every machine, so that it is recognised when a sweep
goes on, and a machine that has other files gives it another name.
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

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import CheckError, ConfigError, FedcreditError
from fedcredit.wire.canonical import canonical_json
from simulations.config_tree import parse_config
from simulations.dataset import DataSpec, load
from simulations.partition import PooledTable, deal
from simulations.population.consortium import Consortium, draw_consortium
from simulations.results import RunResult
from simulations.run import Finished, Prepared, execute, prepare, prepare_consortium
from simulations.runners import runner_for
from simulations.settings import Settings, data_spec, later_months, population_spec, read_settings
from simulations.sweeps.made_of import made_of

NOT_SETTINGS = ("run", "sweep", "hydra")
"""Keys of the configuration that say where and how to run, and change no result."""
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Point:
    """One run that a sweep asks for.

    Attributes
    ----------
    number
        Position in the sweep, from 0.
    config
        The composed configuration, plain values.
    made_of
        Version and hashes.
    name
        What follows from settings and hashes: 16 hexadecimal digits.
    """

    number: int
    config: Mapping[str, Any]
    made_of: Mapping[str, str]
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
    made_of
        Version and hashes, as the worker found them.
    rounds_trained, rounds_planned
        Rounds of training that took place; fewer than planned where the reserve for retries was used up.
    left
        Number of institutions that were in the joint job to the end.
    """

    settings: Mapping[str, Any]
    kinds: Mapping[str, str]
    rows: Mapping[str, int]
    result: RunResult
    cpu_seconds: float
    worker: str
    made_of: Mapping[str, str]
    rounds_trained: int
    rounds_planned: int
    left: int

    @property
    def name(self) -> str:
        """The name that follows from its settings and what the worker found."""
        return _name(self.settings, self.made_of)

    def to_json(self) -> str:
        """Return the point's file; the result is what a run's ``metrics.json`` holds."""
        tree = {
            "format": _FORMAT,
            "settings": self.settings,
            "made_of": self.made_of,
            "institutions": {name: {"kind": kind, "rows": self.rows[name]} for name, kind in self.kinds.items()},
            "cpu_seconds": self.cpu_seconds,
            "worker": self.worker,
            "rounds": {"trained": self.rounds_trained, "planned": self.rounds_planned},
            "left": self.left,
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
                tree["made_of"],
                tree["rounds"]["trained"],
                tree["rounds"]["planned"],
                tree["left"],
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
    settings, found = settings_of(config), made_of(config)
    return Point(number, config, found, _name(settings, found))


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved settings as JSON values: equal settings are equal whichever way they were written."""
    return parse_config(config).model_dump(mode="json", exclude=set(NOT_SETTINGS))


def check(point: Point) -> None:
    """Read a point's table and settings, deal its rows, and run nothing.

    Raises
    ------
    FedcreditError
        If the table or a setting is unusable, or an institution gets no rows.
    """
    if _drawn(point.config) is not None:
        return
    table = table_of(data_spec(point.config))[1]
    settings = read_settings(point.config, table.bad.size)
    n_institutions = settings.banks + settings.hospitals
    if settings.split.kind != "iid" or 2 * n_institutions > table.bad.size:  # somebody may get no rows
        deal(table, n_institutions, settings.split, settings.seed)


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
    prepared = _prepared(config, started)
    finished = _finished(prepared)
    progress = finished.outcome.progress
    institutions = prepared.federation.institutions
    return FinishedPoint(
        settings_of(config),
        {one.id: one.kind for one in institutions},
        {one.id: one.size for one in institutions},
        finished.result,
        round(time.process_time() - cpu, 3),
        f"{socket.gethostname()}:{os.getpid()}",
        made_of(config),
        progress.rounds_trained,
        finished.outcome.plan.phases.train.rounds,
        len(progress.members),
    )


def table_of(spec: DataSpec) -> tuple[DataDictionary, PooledTable]:
    """Load a table once per process, whatever the seed unless the seed draws its rows."""
    return _loaded(spec if spec.rows is not None else replace(spec, seed=0))


def _prepared(config: Mapping[str, Any], started: float) -> Prepared:
    drawn = _drawn(config)
    if drawn is not None:
        return prepare_consortium(*drawn, started)
    dictionary, table = table_of(data_spec(config))
    return prepare(read_settings(config, table.bad.size), dictionary, table, started)


def _drawn(config: Mapping[str, Any]) -> tuple[Settings, Consortium] | None:
    """Settings and rows of a population that is drawn and not read, each seed's own; None of a table."""
    spec = population_spec(config)
    if spec is None:
        return None
    consortium = draw_consortium(spec, later_months(config))
    return read_settings(config, consortium.n_rows), consortium


@lru_cache(maxsize=8)
def _loaded(spec: DataSpec) -> tuple[DataDictionary, PooledTable]:
    return load(spec)


def _finished(prepared: Prepared) -> Finished:
    """Function calls need no files; Flower's runtimes do, and theirs go when the point is done."""
    run = runner_for(prepared.settings)
    if prepared.settings.runtime in ("in_process", "cohort"):
        return execute(prepared, None, runner=run)
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as scratch:
        return execute(prepared, Path(scratch), runner=run)


def _name(settings: Mapping[str, Any], found: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_json({"settings": settings, "made_of": found})).hexdigest()[:16]
