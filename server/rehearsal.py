"""Simulated institutions: what a run in Flower's simulation runtime needs beside a job.

A simulated node has no site that could name a custodian, so the relay looks for one socket in the private folder
that Flower uses on this machine; this module puts it there for the length of the run. Whoever serves the custodians
is either named in the config (``simulation.custodians``), or started here: with ``simulation.overrides``, as in a
bare ``flwr run .``, ``simulations.custodians`` of the clone deals the data, makes keys, roster and plan, serves
every custodian from one process and says which job to open. That process ends when its input is closed, however
that happens. The bundle holds no simulation, and a deployed coordinator's config has no key ``simulation``.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fedcredit.errors import ConfigError, JobError

CONFIG_KEY = "simulation"
_STOP_TIMEOUT_S = 10.0


@contextmanager
def rehearsal(config: Mapping[str, Any], run_id: int) -> Iterator[Mapping[str, Any]]:
    """Give the config of the job to open; simulated institutions, if it has any, can be reached with the context.

    Parameters
    ----------
    config
        Names a job, or a simulation, or both.
    run_id
        Flower's number of the run; relays find the institutions by it.

    Raises
    ------
    ConfigError
        If the config asks for a simulation in a way that is not known.
    JobError
        If the simulated institutions do not start.
    """
    match config.get(CONFIG_KEY):
        case None:
            yield config
        case {"custodians": str(listening)}:
            with _linked(Path(listening), run_id):
                yield config
        case {"overrides": list(overrides)}:
            with _started(overrides) as (job, socket), _linked(socket, run_id):
                yield job
        case other:
            raise ConfigError(
                f'config key {CONFIG_KEY!r} must be {{"custodians": SOCKET}} or {{"overrides": [...]}}, got {other!r}.'
            )


def simulation_socket(run_id: int) -> Path:
    """Name where relays of a simulated run look, by the rule of `clients.relay.simulation_socket`."""
    home = os.environ.get("FLWR_HOME")
    return (Path(home) if home else Path.home() / ".flwr") / f"fedcredit-{run_id}.sock"


@contextmanager
def _linked(socket: Path, run_id: int) -> Iterator[None]:
    link = simulation_socket(run_id)
    link.symlink_to(socket)
    try:
        yield
    finally:
        link.unlink()


@contextmanager
def _started(overrides: list[str]) -> Iterator[tuple[Mapping[str, Any], Path]]:
    command = [sys.executable, "-m", "simulations.custodians"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(  # noqa: S603  this interpreter, a module of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            answer = _answer(process, overrides, log)
            yield {"job": answer["job"]}, Path(answer["custodians"])
        finally:
            _stop(process)


def _answer(process: subprocess.Popen[str], overrides: list[str], log: IO[str]) -> Mapping[str, Any]:
    """Say what is wanted, and wait until every custodian is served."""
    print(json.dumps(overrides), file=process.stdin, flush=True)
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        process.wait()
        log.seek(0)
        raise JobError(f"the simulated institutions did not start:\n{log.read().strip()}")
    answer: Mapping[str, Any] = json.loads(line)
    return answer


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
