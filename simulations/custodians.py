"""``python -m simulations.custodians``: serve the institutions of a bare ``flwr run .`` from one process.

Reads a JSON list of Hydra overrides from standard input, prepares the federation, serves every custodian, prints one
JSON line that names the job and the socket, and ends when standard input is closed.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from fedcredit.errors import FedcreditError
from simulations.dataset import load
from simulations.flower_runner import hosted
from simulations.job_files import write_job
from simulations.run import prepare
from simulations.run_folder import RunFolder
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config
from simulations.stamp import stamp


def main() -> None:
    """Serve until standard input ends."""
    try:
        # In Flower's own folder where there is one, so that a run's keys go when that goes, however this process ends.
        with tempfile.TemporaryDirectory(prefix="fedcredit-", dir=os.environ.get("FLWR_HOME")) as scratch:
            _serve(json.loads(sys.stdin.readline()), Path(scratch))
    except FedcreditError as error:
        sys.exit(str(error))


def _serve(overrides: list[str], scratch: Path) -> None:
    config = compose_config(overrides)
    dictionary, table = load(data_spec(config))
    settings = read_settings(config, table.bad.size)
    federation = prepare(settings, dictionary, table, time.monotonic()).federation
    folder = RunFolder(settings.run_dir).final
    folder.mkdir(parents=True)
    stamp(folder)
    with hosted(federation, settings.job, folder, scratch / "custodians.sock") as socket:
        job = write_job(federation, scratch, folder)
        print(json.dumps({"job": str(job), "custodians": str(socket)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
