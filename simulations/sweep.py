"""The end of a Hydra multirun: one table (mean ± sd over seeds) and ``sweep.csv`` with one row per run."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from simulations.results import RunResult, SweepPoint
from simulations.tables import sweep_table

_SEEDS = ("seed", "noise.seed")


class SweepTable(Callback):
    """Collects each run's result and reports once at the end; Hydra makes it from `configs/simulation.yaml`."""

    def __init__(self) -> None:
        self._runs: list[tuple[dict[str, str], RunResult]] = []
        self._folder = Path()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:  # noqa: ANN401
        """Keep the result of one run."""
        if isinstance(job_return._return_value, RunResult):  # noqa: SLF001  (raises for a failed run if read as property)
            self._runs.append((_settings(job_return.overrides or ()), job_return._return_value))  # noqa: SLF001
            self._folder = sweep_folder(config)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Write ``sweep.csv`` and print the table."""
        target = self._folder / "sweep.csv"
        write_csv(target, self._runs)
        console = Console()
        console.print(sweep_table(points_of(self._runs)))
        console.print(f"sweep: {target.absolute()}", soft_wrap=True)


def sweep_folder(config: DictConfig) -> Path:
    """Where a sweep's runs and ``sweep.csv`` go: `run.dir` if it is given, else Hydra's folder for the sweep."""
    return Path(config.run.dir or config.hydra.sweep.dir)


def points_of(runs: Iterable[tuple[dict[str, str], RunResult]]) -> list[SweepPoint]:
    """Group runs that differ in a seed only; of the settings, keep those that the sweep varied."""
    taken = list(runs)
    names = dict.fromkeys(name for settings, _ in taken for name in settings if name not in _SEEDS)
    varied = [name for name in names if len({settings.get(name) for settings, _ in taken}) > 1]
    groups: dict[str, tuple[dict[str, str], list[RunResult]]] = {}
    for settings, result in taken:
        shown = {name: settings[name] for name in varied if name in settings}
        groups.setdefault(json.dumps(shown, sort_keys=True), (shown, []))[1].append(result)
    return [SweepPoint(settings, tuple(results)) for settings, results in groups.values()]


def write_csv(path: Path, runs: Iterable[tuple[dict[str, str], RunResult]]) -> None:
    """Write one row per run: its overrides, then every figure of ``metrics.json`` by its dotted name."""
    rows = [{**settings, **_flat("", json.loads(result.to_json()))} for settings, result in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _settings(overrides: Iterable[str]) -> dict[str, str]:
    pairs = (override.partition("=") for override in overrides)
    return {name.lstrip("+"): value for name, _, value in pairs}


def _flat(prefix: str, tree: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON is any)
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in _flat(f"{prefix}.{name}".lstrip("."), branch).items()
    }
