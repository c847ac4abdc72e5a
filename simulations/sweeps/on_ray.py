"""Points of a sweep as Ray tasks, over one machine or several.

Every machine has the same clone at the same place and the same environment (extra `ray`), and joined the cluster with
`ray start`. A task asks for one core; Ray places it, and tries it again elsewhere if its machine is lost.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedcredit.errors import ConfigError, JobError
from simulations.sweeps.point import Answer, answer
from simulations.sweeps.pool import ONE_THREAD, cores

_RETRIES = 2


def on_ray(
    configs: Sequence[Mapping[str, Any]], workers: int | None, address: str | None
) -> Iterator[tuple[int, Answer]]:
    """Run configurations and yield the index and answer of each as it is done.

    Parameters
    ----------
    workers
        Cores of the cluster that is started here; None takes all. Not with `address`.
    address
        Of a running cluster, ``auto`` for the one of this machine; None starts one here and ends it afterwards.

    Raises
    ------
    ConfigError
        If Ray is not installed, or there is no cluster at that address.
    JobError
        If a task was lost more often than it is tried.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _imported()
    if address is not None and workers is not None:
        raise ConfigError(f"sweep.workers={workers} is for this machine; at sweep.address Ray places the points.")
    _connect(ray, address, workers)
    try:
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(answer)
        waiting = {task.remote(dict(config)): index for index, config in enumerate(configs)}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(done), ray.get(done)
    except ray.exceptions.RayError as error:
        raise JobError(
            f"Ray lost a point of the sweep ({type(error).__name__}); finished points are kept. Run the same command "
            "again."
        ) from error
    finally:
        ray.shutdown()


def _imported() -> Any:  # noqa: ANN401  (a module)
    try:
        import ray  # noqa: PLC0415  (heavy and optional)
    except ImportError as error:
        raise ConfigError("sweep.launcher=ray needs Ray; install the extra `ray`, or use processes.") from error
    return ray


def _connect(ray: Any, address: str | None, workers: int | None) -> None:  # noqa: ANN401  (a module)
    here = {} if address else {"num_cpus": workers or cores(), "include_dashboard": False}
    threads = dict.fromkeys(ONE_THREAD, "1")
    try:
        ray.init(
            address=address or "local",
            logging_level="ERROR",
            log_to_driver=False,
            runtime_env={"env_vars": threads},
            **here,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"no Ray cluster answers at sweep.address={address} ({error}); start one there.") from error
