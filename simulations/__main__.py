"""``python -m simulations``: one simulated job, or with ``-m`` a sweep.

Everything is a Hydra key (`configs/simulation.yaml`); an error is one sentence and exit code 1, and ends a sweep.
"""

import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fedcredit.errors import CheckError, FedcreditError
from simulations.present import Narrator
from simulations.results import RunResult
from simulations.simulate import CONFIG_FOLDER, plain, run_config, sentence_of


def main() -> None:
    """Run what the command line asks for."""
    # Hydra then raises what is wrong with an override instead of printing a report of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _job()
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {sentence_of(error)}")


@hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="simulation")
def _job(config: DictConfig) -> RunResult:
    # Hydra would go on with a sweep after any exception of a run but SystemExit.
    try:
        return _run(config, time.monotonic())
    except CheckError as error:
        raise SystemExit("\n".join(f"problem: {problem}" for problem in error.problems)) from error
    except FedcreditError as error:
        raise SystemExit(f"error: {_place()}{error}") from error


def _place() -> str:
    hydra_config = HydraConfig.get()
    return f"run {hydra_config.job.num} of the sweep: " if hydra_config.mode is RunMode.MULTIRUN else ""


def _run(config: DictConfig, started: float) -> RunResult:
    tree, hydra_config = plain(config), HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        tree["run"]["dir"] = str(Path(tree["run"]["dir"] or hydra_config.sweep.dir) / str(hydra_config.job.num))
        print(f"run {hydra_config.job.num} of the sweep: {' '.join(hydra_config.overrides.task)}")
    result, folder = run_config(tree, started, Narrator())
    print(f"run: {folder}")
    return result


if __name__ == "__main__":
    main()
