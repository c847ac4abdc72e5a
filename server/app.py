r"""The coordinator as a Flower ServerApp: reads what to run, runs it, writes the results.

The run config holds one JSON string, because Flower's own values can be neither lists nor null::

    flwr run . --run-config "cfg-json='{\"job\": \"/path/of/JOB.yaml\"}'"

Deadlines go beside the job, under ``"flower"``. In the clone, where nobody has prepared a job, the config
asks for simulated institutions instead.
"""

import json
from collections.abc import Mapping
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from pydantic import ValidationError

from fedcredit.errors import ConfigError
from server.job import job_folder, open_job, write_results
from server.job_run import held, reported
from server.pacing import Pacing
from server.rehearsal import rehearsal
from server.strategy import CoordinatorStrategy

CONFIG_KEY = "cfg-json"
PACING_KEY = "flower"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one job from its config to its results.

    Raises
    ------
    FedcreditError
        If the config is unusable or the job cannot go on; Flower shows it in the run's log.
    """
    config = read_config(context.run_config)
    pacing, run = read_pacing(config), str(context.run_id)
    with rehearsal(config, context.run_id) as job, held(job_folder(job), run), reported(job_folder(job), run):
        coordinator = open_job(job)
        CoordinatorStrategy(coordinator, pacing).start(grid)
        print(f"results: {write_results(coordinator, job)}", flush=True)


def read_config(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the job's config out of Flower's run config.

    Raises
    ------
    ConfigError
        If it is missing or not a JSON object.
    """
    text = run_config.get(CONFIG_KEY)
    try:
        config = json.loads(text) if isinstance(text, str) else None
    except json.JSONDecodeError as error:
        raise ConfigError(f"run config {CONFIG_KEY} is not JSON ({error}); quote it as one string.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"run config {CONFIG_KEY} must be a JSON object in a string, got {text!r}.")
    return config


def read_pacing(config: Mapping[str, Any]) -> Pacing:
    """Read the deadlines, or take the defaults.

    Raises
    ------
    ConfigError
        If a deadline is unknown or out of range.
    """
    try:
        return Pacing.model_validate(config.get(PACING_KEY, {}))
    except ValidationError as error:
        raise ConfigError(f"config key {PACING_KEY!r} is not usable: {error}") from error
