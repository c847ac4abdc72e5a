"""Points of a sweep in processes of this machine.

Processes are forked from a server that has imported everything and holds no thread, and each loads a table once. What
passes between them is a configuration and text.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context
from typing import Any

from fedcredit.errors import JobError
from simulations.sweeps import point as point_module
from simulations.sweeps.point import Answer, answer

# Workers fill the cores themselves; more threads in each would only wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def in_processes(configs: Sequence[Mapping[str, Any]], workers: int | None) -> Iterator[tuple[int, Answer]]:
    """Run configurations and yield the index and answer of each as it is done.

    Parameters
    ----------
    workers
        Number of processes; None takes one per core that this process may use.

    Raises
    ------
    JobError
        If a process was killed.
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    context = get_context("forkserver")
    context.set_forkserver_preload([point_module.__name__])
    _start_server()
    pool = ProcessPoolExecutor(min(workers or cores(), len(configs)), mp_context=context)
    try:
        tasks = {pool.submit(answer, config): index for index, config in enumerate(configs)}
        for task in as_completed(tasks):
            yield tasks[task], task.result()
    except BrokenProcessPool as error:
        raise JobError(
            "a process of the sweep was killed, perhaps for memory; its finished points are kept. Run the same command "
            "again, with fewer sweep.workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_server() -> None:
    """Start the server that forks the workers, deaf to Ctrl-C as they then are: the first process ends the sweep."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
