"""Simulated institutions for a run in the clone, where nobody has prepared a job or started a custodian.

With ``{"simulation": {"overrides": ["privacy=none", …]}}`` as its config, the ServerApp starts
``simulations.custodians`` of the clone in whose environment Flower runs: one process that deals the data,
makes keys, roster and plan, serves every custodian, and says which job to open. It ends when its input is
closed, however that happens. The bundle holds no simulation, and where a config names a job nothing is
started.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from fedcredit.errors import JobError

CONFIG_KEY = "simulation"
_STOP_TIMEOUT_S = 10.0


@contextmanager
def rehearsal(config: Mapping[str, Any], run_id: int) -> Iterator[Mapping[str, Any]]:
    """Give the config of the job to open; simulated institutions, if it asks for any, live with the context.

    Parameters
    ----------
    config
        Names a job, or asks for a simulation.
    run_id
        Flower's number of the run; relays find the institutions by it.

    Raises
    ------
    JobError
        If the simulated institutions do not start.
    """
    if CONFIG_KEY not in config:
        yield config
        return
    command = [sys.executable, "-m", "simulations.custodians", str(run_id)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(  # noqa: S603  this interpreter, a module of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield _job(process, config[CONFIG_KEY], log)
        finally:
            _stop(process)


def _job(process: subprocess.Popen[str], wanted: object, log: IO[str]) -> Mapping[str, Any]:
    """Say what is wanted, and wait until every custodian is served."""
    print(json.dumps(wanted), file=process.stdin, flush=True)
    answer = process.stdout.readline() if process.stdout else ""
    if not answer:
        process.wait()
        log.seek(0)
        raise JobError(f"the simulated institutions did not start:\n{log.read().strip()}")
    job: Mapping[str, Any] = json.loads(answer)
    return job


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
