"""What carries a simulated job's messages, by the configuration's name for it."""

from importlib import import_module

from simulations.cohort_run import run_cohort
from simulations.run import Runner, in_process
from simulations.settings import Settings


def runner_for(settings: Settings) -> Runner:
    """The runner of a configuration; Flower's are imported when they are asked for."""
    match settings.runtime:
        case "in_process":
            return in_process
        case "cohort":
            return lambda federation, spec, folder, on_decided: run_cohort(
                federation, spec, circumstances=settings.circumstances, folder=folder, on_decided=on_decided
            )
        case runtime:
            runner: Runner = import_module("simulations.flower_runner").runner_of(runtime)
            return runner
