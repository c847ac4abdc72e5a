"""Session settings of the tests: which are left out here and why, Flower's own folder, hypothesis.

A test that needs a system program carries ``@pytest.mark.system("DEBIAN-PACKAGE")``. Where the program is
missing, the test is left out and the end of the run names it with its package; with
``FEDCREDIT_REQUIRE_SYSTEM=1`` it fails instead.

A test marked ``long`` runs with ``--long`` or ``-m long`` only.

Under ``-n`` (pytest-xdist) tests run in worker processes: each tells the first process, whose summary is printed, what
it left out.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Packages whose program has another name; Debian keeps PostgreSQL's server programs off the PATH.
PROGRAM_OF = {"postgresql": "initdb", "iproute2": "ip", "nftables": "nft", "systemd": "systemd-analyze"}
PROGRAM_FOLDERS_OFF_PATH = ("/usr/lib/postgresql/*/bin",)

# Nothing reports home, looks for updates or installs packages while tests run.
QUIET_FLOWER = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

# Side by side, they would wait for each other's processes.
PROCESSES = (
    "clients/test_hostile_bundle.py",
    "crash/",
    "deploy/",
    "deployment/",
    "e2e/",
    "fedcredit/cli/test_custodian_process.py",
    "server/test_serve.py",
)
STARTS_PROCESSES = tuple(f"tests/{place}" for place in PROCESSES)

LEFT_OUT = pytest.StashKey[set[str]]()
LEFT_OUT_BY_WORKER = "left_out"
FLOWER_HOME = pytest.StashKey[str]()

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long``."""
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any test module imports Flower, which reads it at import."""
    config.stash[LEFT_OUT] = set()
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers(config))
    config.stash[FLOWER_HOME] = tempfile.mkdtemp(prefix="fedcredit-flwr-")
    os.environ.update(QUIET_FLOWER, FLWR_HOME=config.stash[FLOWER_HOME])
    settings.load_profile("ci" if os.environ.get("CI") else "local")


class ByModule(LoadScopeScheduling):
    """A module's tests share a worker, and so do all modules that start processes and wait for them."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::", maxsplit=1)[0]
        return "processes" if module.startswith(STARTS_PROCESSES) else module


class Workers:
    """Hooks of pytest-xdist: who runs what, and what the workers left out joins the first process's list."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: object) -> LoadScopeScheduling:
        """In the first process: which tests share a worker."""
        return ByModule(config, log)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a worker: hand over what was left out."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[LEFT_OUT_BY_WORKER] = sorted(session.config.stash[LEFT_OUT])

    def pytest_testnodedown(self, node: object) -> None:
        """In the first process: take it over; every worker collects all tests, so all say the same."""
        output: dict[str, list[str]] = getattr(node, "workeroutput", None) or {}
        self._config.stash[LEFT_OUT].update(output.get(LEFT_OUT_BY_WORKER, []))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove Flower's folder."""
    shutil.rmtree(config.stash[FLOWER_HOME], ignore_errors=True)


# Last, so that a test which -k or -m already dropped is not named as left out.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot or should not run here, and remember why."""
    reasons = {item: why_left_out(item) for item in items}
    dropped = [item for item in items if reasons[item]]
    config.stash[LEFT_OUT].update(f"left out: {item.nodeid} ({reasons[item]})" for item in dropped)
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if not reasons[item]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a system test whose program is missing where every program is required."""
    if packages := missing_packages(item):
        pytest.fail(f"program missing; run: apt-get install {' '.join(packages)}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name every test that was left out."""
    left_out = config.stash[LEFT_OUT]
    for line in sorted(left_out):
        terminalreporter.write_line(line)


def why_left_out(item: pytest.Item) -> str:
    """Reason to leave a test out; empty if it runs."""
    if item.get_closest_marker("long") and not long_tests_wanted(item.config):
        return "long: make test-long"
    packages = missing_packages(item)
    if packages and os.environ.get("FEDCREDIT_REQUIRE_SYSTEM") != "1":
        return f"needs: apt-get install {' '.join(packages)}"
    return ""


def long_tests_wanted(config: pytest.Config) -> bool:
    """Tell whether the command line asks for long tests; where ``-m`` names them, pytest chooses."""
    return bool(config.getoption("--long")) or "long" in config.getoption("-m")


def missing_packages(item: pytest.Item) -> list[str]:
    """Debian packages that a test names and whose program is not here."""
    packages = (mark.args[0] for mark in item.iter_markers("system"))
    return [package for package in packages if not program_is_here(PROGRAM_OF.get(package, package))]


def program_is_here(program: str) -> bool:
    """Look a program up on the PATH and in the folders that Debian keeps off it."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders_off_path())])
    return shutil.which(program, path=folders) is not None


def folders_off_path() -> Iterator[Path]:
    """Existing folders of `PROGRAM_FOLDERS_OFF_PATH`."""
    for pattern in PROGRAM_FOLDERS_OFF_PATH:
        yield from Path("/").glob(pattern.lstrip("/"))
