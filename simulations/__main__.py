"""``python -m simulations``: one simulated job, or with ``-m`` a sweep.

Everything is a Hydra key (`configs/simulation.yaml`); an error is one sentence and exit code 1, and ends a sweep.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from fedcredit.ending import run
from fedcredit.errors import FedcreditError
from simulations.present import Narrator
from simulations.simulate import CONFIG_FOLDER, plain, run_config, sentence_of
from simulations.sweeps.sweep import sweep


def main() -> None:
    """Run what the command line asks for."""
    # Hydra then raises what is wrong with an override instead of printing a report of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    asked: list[Any] = []
    folders: list[Path] = []

    @hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="simulation")
    def job(config: DictConfig) -> None:
        # Hydra would go on with a sweep after any exception of a run but SystemExit.
        try:
            tree = plain(config)
        except FedcreditError as error:
            raise SystemExit(f"error: {error}") from error
        asked.append(tree)
        hydra_config = HydraConfig.get()
        if hydra_config.mode is RunMode.MULTIRUN:
            folders.append(Path(tree["run"]["dir"] or hydra_config.sweep.dir))

    def whole() -> None:
        job()
        _run(asked, folders)

    try:
        run(whole)
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {sentence_of(error)}")
    except KeyboardInterrupt:
        kept = f"; finished points are kept, and run.dir={folders[0]} goes on with them" if folders else ""
        sys.exit(f"interrupted{kept}.")


def _run(asked: list[Any], folders: list[Path]) -> None:
    if folders:
        sweep(asked, folders[0], Console(highlight=False))
    elif asked:  # nothing is asked by --help and the like
        _, folder = run_config(asked[0], time.monotonic(), Narrator())
        print(f"run: {folder}")


if __name__ == "__main__":
    main()
