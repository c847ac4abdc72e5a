"""The mutant run: each deliberate break of a promise is applied to a copy of the tree, and a test must notice it.

``python -m tests.privacy.mutants [NAME ...]`` prints the table. Of each mutant it finds out, in processes of its own,

* whether its patch still applies, each part to exactly one place;
* whether it changes a byte that leaves, a ledger line or a log line of the job that it names (see `circumstances`);
* whether the tests that claim to kill it fail on it. The same tests pass on a copy of the tree as it is.

The processes are forks of one that has imported other people's libraries and nothing of ours: each reads our code from
its own tree, without two seconds of imports first.
"""

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.privacy.mutant import Mutant
from tests.privacy.mutant_table import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("fedcredit", "server", "clients", "simulations", "configs", "tests", "docs", "pyproject.toml")
OURS = {"fedcredit", "server", "clients", "simulations", "tests"}
LIBRARIES = (
    *("numpy", "scipy.stats", "scipy.optimize", "scipy.special", "mpmath", "pyarrow.csv", "pyarrow.parquet"),
    *("sklearn.metrics", "sklearn.model_selection", "matplotlib.figure", "hydra", "omegaconf", "jinja2", "rich.table"),
    *("pydantic", "yaml", "typer", "google.protobuf.message", "cryptography.hazmat.primitives.asymmetric.x25519"),
    *("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography.hazmat.primitives.serialization", "pytest"),
    *("sqlite3", "unittest.mock", "http.client", "multiprocessing.connection", "pyarrow.compute"),
)
LONGEST_SECONDS = 240
PASSED, FAILED = 0, 1  # pytest's own exit codes; any other means that the tests did not run


class PatchError(Exception):
    """A patch does not apply to exactly one place, or the tree that it is for is not the one that runs."""


@dataclass(frozen=True)
class Found:
    """What became of one mutant.

    Attributes
    ----------
    effect
        First line of the job that differs: its first two words; empty if none does.
    exit_code
        pytest's, of the tests that claim to kill it.
    """

    name: str
    problem: str = ""
    effect: str = ""
    exit_code: int = -1
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether a break that shows is noticed."""
        return not self.problem and bool(self.effect) and self.exit_code == FAILED


def patched(text: str, old: str, new: str, where: str) -> str:
    """The text with one place replaced.

    Raises
    ------
    PatchError
        If the old text stands there never or more than once.
    """
    found = text.count(old)
    if found != 1:
        raise PatchError(f"{where} holds {old.strip()[:60]!r} {found} times instead of once; mend the mutant's patch.")
    return text.replace(old, new)


def apply(tree: Path, mutant: Mutant) -> None:
    """Patch a tree; a file that is linked is replaced, not written through."""
    for edit in mutant.edits:
        path = tree / edit.file
        text = patched(path.read_text(encoding="utf-8"), edit.old, edit.new, edit.file)
        path.unlink()
        path.write_text(text, encoding="utf-8")


def copy_tree(source: Path, target: Path, *, link: bool) -> None:
    """Copy what runs of a tree, or link it file by file."""
    target.mkdir()
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, copy_function=os.link if link else shutil.copy2)
        else:
            shutil.copy2(source / part, target / part)


def in_tree(tree: Path, output: Path, act: Callable[[], int]) -> int:
    """Run `act` in a process that reads our code from `tree`; its exit code, its words in `output`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        enter(tree, output)
        code = act()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 70
    except BaseException as error:  # noqa: BLE001
        # A fork must not return into its parent's code, whatever happens.
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def enter(tree: Path, output: Path) -> None:
    """Make this process one of the tree's."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.chdir(tree)
    os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
    importlib.invalidate_caches()


def run_job(tree: Path, circumstance: str, output: Path) -> list[str]:
    """The lines of one job in a tree; one line of the error if it ends in one, which is a difference as well."""

    def act() -> int:
        signal.alarm(LONGEST_SECONDS)
        sys.argv = ["circumstances", circumstance]
        module = importlib.import_module("tests.privacy.circumstances")
        package = importlib.import_module("fedcredit")
        if Path(str(package.__file__)).resolve().parents[1] != tree.resolve():
            raise PatchError(f"fedcredit came from {package.__file__}, not from the copied tree.")
        module.main()
        return 0

    code = in_tree(tree, output, act)
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines if code == 0 else [f"error exit code {code}: {lines[-1] if lines else ''}"]


def run_tests(tree: Path, tests: Sequence[str], output: Path) -> int:
    """pytest's exit code for some tests in a tree."""

    def act() -> int:
        pytest = importlib.import_module("pytest")
        # Libraries with a pytest plugin are imported already, so their asserts stay as they are.
        already = "ignore::pytest.PytestAssertRewriteWarning"
        options = ["-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=line", f"--rootdir={tree}"]
        options += ["-W", already]
        return int(pytest.main([*options, *tests]))

    return in_tree(tree, output, act)


def difference(clean: Sequence[str], mutated: Sequence[str]) -> str:
    """The first two words of the first line that differs; empty if all are the same.

    Randomness is handed out in order, so bytes may differ because a mutant draws more or less of it. That is a change
    of bytes, too: it is why the tests and not this difference decide.
    """
    for before, after in zip([*clean, "end"], [*mutated, "end"], strict=False):
        if before != after:
            return " ".join((after if after != "end" else before).split()[:2])
    return ""


def examine(mutant: Mutant, clean: Path, work: Path) -> Found:
    """Apply, run and test one mutant."""
    begun, tree = time.monotonic(), work / mutant.name
    copy_tree(clean, tree, link=True)
    try:
        apply(tree, mutant)
    except (PatchError, OSError) as error:
        return Found(mutant.name, problem=str(error))
    before = (work / f"job-{mutant.circumstance}").read_text(encoding="utf-8").splitlines()
    after = run_job(tree, mutant.circumstance, work / f"{mutant.name}.job")
    effect = "" if after == before else difference(before, after)
    if effect.startswith("error"):
        return Found(mutant.name, problem=after[0])
    code = run_tests(tree, mutant.tests, work / f"{mutant.name}.tests")
    shutil.rmtree(tree)
    return Found(mutant.name, "", effect, code, seconds=round(time.monotonic() - begun, 1))


def clean_job(circumstance: str, clean: Path, work: Path) -> None:
    """Keep the lines of a job in the tree as it is."""
    lines = run_job(clean, circumstance, work / f"clean-{circumstance}")
    (work / f"job-{circumstance}").write_text("\n".join([*lines, ""]), encoding="utf-8")


def side_by_side(tasks: Sequence[Callable[[], None]], jobs: int) -> None:
    """Run tasks in forks, at most `jobs` at once."""
    running = 0
    for task in tasks:
        if running == jobs:
            os.wait()
            running -= 1
        sys.stdout.flush()
        if os.fork() == 0:
            try:
                task()
            finally:
                os._exit(0)
        running += 1
    for _ in range(running):
        os.wait()


def examine_all(mutants: Sequence[Mutant], jobs: int, keep: Path | None = None) -> list[Found]:
    """What became of each mutant.

    Parameters
    ----------
    keep
        Where to leave what jobs and tests printed; a folder that is removed by default.
    """
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    with tempfile.TemporaryDirectory(prefix="fedcredit-mutants-") as name:
        work = keep or Path(name)
        clean = work / "clean"
        copy_tree(ROOT, clean, link=False)

        def examined(mutant: Mutant) -> Callable[[], None]:
            def task() -> None:
                found = examine(mutant, clean, work)
                (work / f"{mutant.name}.json").write_text(json.dumps(asdict(found)))

            return task

        def without() -> None:
            code = run_tests(
                clean, [*dict.fromkeys(test for mutant in mutants for test in mutant.tests)], work / "tests"
            )
            (work / "exit_code").write_text(str(code))

        needed = dict.fromkeys(mutant.circumstance for mutant in mutants)
        side_by_side([without, *(lambda one=one: clean_job(one, clean, work) for one in needed)], jobs)
        if int((work / "exit_code").read_text()) != PASSED:
            raise PatchError(f"the tests fail on the tree as it is:\n{(work / 'tests').read_text()[-4000:]}")
        side_by_side([examined(mutant) for mutant in mutants], jobs)
        return [_read(work / f"{mutant.name}.json", mutant.name) for mutant in mutants]


def _read(path: Path, name: str) -> Found:
    return Found(**json.loads(path.read_text())) if path.exists() else Found(name, problem="its process died")


def line_of(found: Found) -> str:
    """One row of the printed table."""
    verdict = "killed" if found.killed else "SURVIVED"
    effect = found.effect or "none"
    return f"{found.name:<28} {verdict:<9} {effect:<24} {found.exit_code:>9} {found.seconds:>6} s  {found.problem}"


def main() -> int:
    """Print the table, or its rows as JSON; the exit code says whether all were killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.privacy.mutants")
    parser.add_argument("names", nargs="*", help="mutants to run; all by default")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--keep", type=Path, help="an empty folder for what jobs and tests print")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - {mutant.name for mutant in MUTANTS})
    if unknown:
        parser.error(f"unknown mutant {unknown[0]!r}; known: {', '.join(mutant.name for mutant in MUTANTS)}")
    chosen = [mutant for mutant in MUTANTS if not given.names or mutant.name in given.names]
    begun = time.monotonic()
    found = examine_all(chosen, given.jobs, given.keep)
    if given.json:
        print(json.dumps([asdict(one) for one in found]))
    else:
        print(f"{'mutant':<28} {'verdict':<9} {'first difference':<24} exit code  time")
        for one in found:
            print(line_of(one))
        killed = sum(one.killed for one in found)
        print(f"{killed} of {len(found)} mutants killed in {time.monotonic() - begun:.0f} s")
    return 0 if all(one.killed for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
