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

import argparse
import json
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benches.cohort_task import Floor, Task, job_of, made_up, numpy_loop
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
    """Median seconds from the start of the command until training's first round begins and to the end; peak memory."""
    first, total = [], []
    for repeat in range(repeats):
        command = [sys.executable, "-m", "simulations", "experiment=thousand", f"run.dir={folder / str(repeat)}"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = iter(process.stdout or ())
            next(line for line in lines if line.startswith("done  preflight"))
            first.append(time.perf_counter() - start)
            for _ in lines:
                pass
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        total.append(time.perf_counter() - start)
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


def ratios(seconds: dict[str, list[float]], rival: str) -> float:
    """Median of ours divided by a rival's, pair by pair."""
    pairs = zip(seconds["ours"], seconds[rival], strict=True)
    return statistics.median(ours / other for ours, other in pairs)


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Everything, said line by line as it comes."""
    floor, facts = Floor(folder), machine()
    task = made_up(INSTITUTIONS, ROWS, FEATURES)
    variance = int(STDDEV**2)
    seconds = side_by_side(
        task, {"C floor": lambda: floor.total(task, STDDEV), "NumPy loop": lambda: numpy_loop(task, variance)}
    )
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    found: dict[str, Any] = {"machine": facts, "round": medians}
    print(f"one round with noise, {INSTITUTIONS:,} institutions x {ROWS} rows x {FEATURES} features")
    for name, own in medians.items():
        print(f"  {name:<22}{own * 1000:>12.1f} ms")
    found["ours / C floor"] = ratios(seconds, "C floor")
    found["ours / NumPy loop"] = ratios(seconds, "NumPy loop")
    print(f"  ours / C floor        {found['ours / C floor']:>12.2f}     bar: at most {FLOOR_BAR}")
    print(f"  ours / NumPy loop     {found['ours / NumPy loop']:>12.4f}")
    if args.flower:
        start, rounds = flower_rounds(task, folder, args.flower)
        found["Flower"] = {"start": start, "rounds": rounds}
        ratio = statistics.median(rounds) / medians["ours"]
        found["Flower / ours"] = ratio
        print(
            f"  Flower's engine       {statistics.median(rounds) * 1000:>12.1f} ms  ({start:.1f} s before its rounds)"
        )
        print(f"  Flower / ours         {ratio:>12.0f}     bar: at least {FLOWER_BAR}")
    found["growth"] = [grown(*size) for size in GROWTH]
    found["large"] = large(folder)
    print(f"{LARGE[0]:,} rows x {LARGE[1]}, mapped from a file, one pass: {found['large']['seconds']:.2f} s (bar 2), ")
    print(f"  peak memory {found['large']['peak_gib']:.2f} GiB (bar 2)")
    found["thousand"] = thousand(folder, args.thousand)
    print(
        f"experiment=thousand: first round after {found['thousand']['first_round']:.2f} s (bar 2), "
        f"end after {found['thousand']['total']:.2f} s (bar 10), peak memory {found['thousand']['peak_gib']:.2f} GiB"
    )
    found["machine"]["load_after"] = os.getloadavg()[0]
    return found


def grown(institutions: int, rows: int, features: int) -> dict[str, float]:
    """Our round at another size."""
    seconds = side_by_side(made_up(institutions, rows, features), {}, rounds=5)["ours"]
    median = statistics.median(seconds)
    print(f"  {institutions:>7,} institutions x {rows:>4} rows x {features:>3} features {median * 1000:>10.1f} ms")
    return {"institutions": institutions, "rows": rows, "features": features, "seconds": median}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="A round of many institutions, ours and others'.")
    parser.add_argument("--flower", type=int, default=5, help="rounds of Flower's engine; 0 leaves it out")
    parser.add_argument("--thousand", type=int, default=5, help="runs of experiment=thousand")
    parser.add_argument("--json", type=Path, default=Path("benches/results.json"), help="where results go")
    parser.add_argument("--pass-over", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pass_over is not None:
        pass_over(args.pass_over)
        return
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as folder:
        found = measure(Path(folder), args)
    others = json.loads(args.json.read_text()) if args.json.exists() else {}
    args.json.write_text(json.dumps({**others, "cohort": found}, indent=2) + "\n")
    print(f"results: {args.json}")


if __name__ == "__main__":
    main()
