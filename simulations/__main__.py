"""``python -m simulations``: one simulated job, or with ``-m`` a sweep.

Everything is a Hydra key (`configs/simulation.yaml`); an error is one sentence and exit code 1.
"""

import sys
import time

import hydra
from omegaconf import DictConfig, OmegaConf

from fedcredit.errors import CheckError, FedcreditError
from simulations.present import Narrator
from simulations.results import RunResult
from simulations.simulate import CONFIG_FOLDER, run_config


@hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name="simulation")
def main(config: DictConfig) -> RunResult:
    """Run the composed configuration and print what happens."""
    started = time.monotonic()
    try:
        result, folder = run_config(OmegaConf.to_container(config, resolve=True), started, Narrator())
    except CheckError as error:
        for problem in error.problems:
            print(f"problem: {problem}", file=sys.stderr)
        sys.exit(1)
    except FedcreditError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"run: {folder}")
    return result


if __name__ == "__main__":
    main()
