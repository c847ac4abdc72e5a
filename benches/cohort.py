"""A round of many institutions, ours and others': ``python -m benches.cohort`` (extras `fast`, `ray`; a C compiler).

One training round with noise over 1,000 institutions of 200 rows and 23 features. Ours is all that happens between two
decided steps of a job with `runtime=cohort`: guards, charges, compiled sums, one rounded Gaussian for each institution
and coordinate from the operating system's bits, the coordinator's rules, the next model. Against it, in turns in one
run: the same sums and normal noise in C (`cohort_floor.c`, all processors, noise that is no secret), and NumPy in a
loop. Against Flower's simulation engine on Ray, in a process of its own after it: clients that return NumPy's sums with
our noise, for a few rounds, of which the first warms it up; nothing is extrapolated.

Then how the round grows with institutions, rows and features; ten million rows of 30 features mapped from a file, with
the process's peak memory; and the time from the start of the command to the first round and to the end of
``experiment=thousand``. Medians of 5 or more. Ratios are of medians from one run, and of pairs where both ran in turns.
Writes a table, and everything with facts about the machine as JSON.
"""

import json
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benches.cohort_task import Task, job_of, made_up
from fedcredit.job.progress import Progress
from fedcredit.job.store import Decided
from fedcredit.models.binned_kernel import binned_kernel_of
from simulations.cohort_run import run_cohort

INSTITUTIONS, ROWS, FEATURES = 1000, 200, 23
FLOOR_BAR, FLOWER_BAR = 3, 400
REPEATS = 9
STDDEV = 10_000.0
GROWTH = (
    *((n, ROWS, FEATURES) for n in (100, 1000, 10_000)),
    *((INSTITUTIONS, n, FEATURES) for n in (50, 800)),
    *((INSTITUTIONS, ROWS, n) for n in (10, 60)),
)
LARGE = (10_000_000, 30)


def side_by_side(task: Task, rivals: dict[str, Callable[[], object]], rounds: int = REPEATS) -> dict[str, list[float]]:
    """Seconds of each round of a job, and of the rivals, in turns."""
    federation, spec = job_of(task, rounds)
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
    since = time.perf_counter()

    def decided(step: Decided, _: Progress) -> None:
        nonlocal since
        if step.phase == "train":
            seconds["ours"].append(time.perf_counter() - since)
            for name, work in rivals.items():
                start = time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - start)
        since = time.perf_counter()

    run_cohort(federation, spec, on_decided=decided)
    return seconds


def flower_rounds(task: Task, folder: Path, rounds: int) -> tuple[float, list[float]]:
    """Seconds until Flower's first round could begin, and of its rounds but the first."""
    np.save(folder / "cells.npy", task.rows.cells)
    rest = (task.dictionary, task.tables, task.rows.bad, task.rows.offsets)
    (folder / "task.pickle").write_bytes(pickle.dumps(rest))
    command = [
        sys.executable,
        "-m",
        "benches.cohort_flower",
        str(folder),
        str(task.rows.n_institutions),
        str(rounds + 1),
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = json.loads((folder / "flower.json").read_text())
    return time.perf_counter() - start - sum(seconds), seconds[1:]


def large(folder: Path) -> dict[str, float]:
    """One pass over rows mapped from a file, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benches.cohort", "--pass-over", str(folder)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def pass_over(folder: Path) -> None:
    """What that process does: write the rows a part at a time, map them, and take passes."""
    n_rows, features = LARGE
    task = made_up(10, 100, features)
    n_cells = np.diff(task.tables.starts)
    path, generator = folder / "large.npy", np.random.default_rng(0)
    cells = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=LARGE)
    for start in range(0, n_rows, 500_000):
        cells[start : start + 500_000] = generator.integers(0, n_cells, (500_000, features), dtype=np.uint8)
    cells.flush()
    del cells
    bad, offsets = (np.arange(n_rows) % 5 == 0).astype(np.uint8), np.array([0, n_rows])
    kernel, seconds = binned_kernel_of("compiled"), []
    for _ in range(5):
        mapped = np.load(path, mmap_mode="r")
        start_time = time.perf_counter()
        kernel.residual_sums(task.tables, 1024, mapped, bad, offsets)
        seconds.append(time.perf_counter() - start_time)
    path.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": statistics.median(seconds), "peak_gib": peak}))


def thousand(folder: Path, repeats: int) -> dict[str, float]:
    """Median seconds of ``experiment=thousand`` from the start of the command, and the largest process's memory."""
    first, total = [], []
    for repeat in range(repeats):
        run = folder / f"thousand-{repeat}"
        start = time.perf_counter()
        command = [sys.executable, "-m", "simulations", "experiment=thousand", f"run.dir={run}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        total.append(time.perf_counter() - start)
        seconds = json.loads((run / "metrics.json").read_text())["seconds"]
        first.append(total[-1] - seconds["after_start"] if "after_start" in seconds else float("nan"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"first_round": statistics.median(first), "total": statistics.median(total), "peak_gib": peak}


def machine() -> dict[str, Any]:
    """Facts without which a time means little."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernel": platform.release(),
    }
