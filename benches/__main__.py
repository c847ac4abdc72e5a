"""All benchmarks in one run: ``make bench``, or ``python -m benches [NAME ...] [--light] [--skip NAME]``.

Each module of this folder with a `main` is one benchmark and runs in a process of its own, one after the other.
What it prints is shown and kept; one that has an option ``--json`` also hands over its figures.
Everything goes into ``benches/results.json`` with facts about the machine, without which no time means anything:
compare ratios within one file, not seconds between two.
"""

import argparse
import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
HEAVY = ("cohort", "joint_view", "large_site", "neural", "roundtrip", "utility")
"""Longer than a minute or two on two cores, or processes of their own; `--light` leaves them out."""
_PACKAGES = ("numpy", "scipy", "numba", "pyarrow", "cryptography", "torch", "opacus", "flwr", "ray", "interpret-core")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one benchmark did.

    Attributes
    ----------
    exit_code
        0 if it came to its end.
    seconds, cpu_seconds
        Of the process; CPU time of its finished children included.
    peak_mib
        Largest resident memory of the process or of one child.
    lines
        What it printed.
    figures
        What it handed over, or None.
    """

    exit_code: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    lines: list[str]
    figures: Any


def found() -> list[str]:
    """Modules of this folder with a `main`, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__" and _has_main(path))


def _has_main(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def measure(command: Sequence[str], figures: Path | None = None) -> Outcome:
    """Run one command, show and keep what it prints."""
    began, lines = time.monotonic(), []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=FOLDER.parent)
    with process:
        for line in process.stdout or ():
            print(f"  {line}", end="", flush=True)
            lines.append(line.rstrip("\n"))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    handed = json.loads(figures.read_text()) if figures is not None and figures.is_file() else None
    return Outcome(
        process.returncode,
        round(time.monotonic() - began, 2),
        round(used.ru_utime + used.ru_stime, 2),
        round(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1),
        lines,
        handed,
    )


def machine() -> dict[str, Any]:
    """What a reader needs to judge the times, the load at the start among it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load_at_start": [round(value, 2) for value in os.getloadavg()],
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _one(name: str) -> Outcome:
    takes_json = '"--json"' in (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-") as scratch:
        figures = Path(scratch) / "figures.json"
        options = ["--json", str(figures)] if takes_json else []
        return measure([sys.executable, "-m", f"benches.{name}", *options], figures)


def _table(outcomes: dict[str, Outcome]) -> Table:
    table = Table(title="Benchmarks", title_justify="left")
    for heading in ("benchmark", "ended", "seconds", "CPU seconds", "peak MiB"):
        table.add_column(heading, justify="left" if heading in ("benchmark", "ended") else "right")
    for name, one in outcomes.items():
        ended = "well" if one.exit_code == 0 else f"with {one.exit_code}"
        table.add_row(name, ended, f"{one.seconds:.1f}", f"{one.cpu_seconds:.1f}", f"{one.peak_mib:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for; exit with 1 if any benchmark failed."""
    names = found()
    parser = argparse.ArgumentParser(prog="python -m benches", description="All benchmarks in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)}; all by default")
    parser.add_argument("--light", action="store_true", help=f"leave out what takes long: {', '.join(HEAVY)}")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="leave one out; may be repeated")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    asked = parser.parse_args(arguments)
    unknown = sorted({*asked.names, *asked.skip} - set(names))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(names)}.")
    left_out = {*asked.skip, *(HEAVY if asked.light else ())}
    facts, outcomes = machine(), {}
    for name in (name for name in asked.names or names if name not in left_out):
        print(f"{name}:", flush=True)
        try:
            outcomes[name] = _one(name)
        except KeyboardInterrupt:
            sys.exit(f"interrupted in {name}; what came before it is in {asked.results.absolute()}.")
        done = {"machine": facts, "benches": {name: asdict(one) for name, one in outcomes.items()}}
        asked.results.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    Console().print(_table(outcomes))
    print(f"results: {asked.results.absolute()}")
    sys.exit(any(one.exit_code for one in outcomes.values()))


if __name__ == "__main__":
    main()
