"""The programmer's door: ``simulate(["privacy.epsilon=1"])`` returns what ``python -m simulations`` prints."""

import time
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedcredit.errors import ConfigError
from simulations.dataset import load
from simulations.population.consortium import draw_consortium
from simulations.present import Audience, Silence
from simulations.results import RunResult
from simulations.run import Prepared, execute, plan_summary, prepare, prepare_consortium
from simulations.run_folder import RunFolder
from simulations.runners import runner_for
from simulations.settings import data_spec, later_months, population_spec, read_settings, run_dir

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / "configs"


def simulate(overrides: Sequence[str] = ()) -> RunResult:
    """Run one simulated job.

    Parameters
    ----------
    overrides
        Hydra overrides, as on the command line.

    Returns
    -------
    RunResult
        The figures of ``metrics.json``.

    Raises
    ------
    FedcreditError
        If a setting, the table or the plan is unusable.
    """
    return run_config(compose_config(overrides), time.monotonic(), Silence())[0]


def compose_config(overrides: Sequence[str]) -> Any:  # noqa: ANN401  (a plain tree)
    """Compose `configs/simulation.yaml` with overrides into plain values.

    Raises
    ------
    ConfigError
        If an override is malformed or names an unknown key.
    """
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            return plain(compose("simulation", overrides=list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence_of(error)) from error


def plain(config: DictConfig) -> Any:  # noqa: ANN401  (a plain tree)
    """Resolve a composed configuration into plain values.

    Raises
    ------
    ConfigError
        If a value that must be given is not.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]} has no value; set {missing[0]}=VALUE.")
    return OmegaConf.to_container(config, resolve=True)


def sentence_of(error: Exception) -> str:
    """Bring what Hydra says over many lines onto one, without its search path and its advice to add unknown keys."""
    lines = takewhile(lambda line: not line.startswith("Config search path"), str(error).splitlines())
    kept = [line.strip() for line in lines if line.strip() and not line.startswith(("To append", "See https"))]
    text = " ".join(kept).rstrip(".")
    return f"the configuration cannot be composed: {text}; correct the override (--help lists the keys)."


def run_config(config: Mapping[str, Any], started: float, audience: Audience) -> tuple[RunResult, Path]:
    """Run a composed configuration and write its run folder.

    Parameters
    ----------
    config
        Plain values.
    started
        Monotonic clock at the start of the command.
    audience
        Who is told what happens.

    Returns
    -------
    result, folder
        The figures, and where everything was written.
    """
    folder = RunFolder(run_dir(config))
    prepared = _prepare(config, started)
    summary = plan_summary(prepared)
    audience.planned(summary, prepared.settings.job.model.rounds)
    with folder:
        finished = execute(
            prepared, folder.path, audience.decided, audience.comparing, runner=runner_for(prepared.settings)
        )
        folder.write(config, prepared, finished)
    audience.finished(finished.result)
    audience.judged(finished.segments)
    return finished.result, folder.final


def _prepare(config: Mapping[str, Any], started: float) -> Prepared:
    """Read the table that is named, or draw the population."""
    spec = population_spec(config)
    if spec is not None:
        consortium = draw_consortium(spec, later_months(config))
        return prepare_consortium(read_settings(config, consortium.n_rows), consortium, started)
    dictionary, table = load(data_spec(config))
    return prepare(read_settings(config, table.bad.size), dictionary, table, started)
