"""The node user's supervisor: keeps Flower's SuperNode and the site runner running, and leaves neither behind.

Both are its children, with a minimal environment: no variable of whoever started the supervisor reaches them. One that
ends is started again after a pause that doubles up to ``restart_longest_s``. Children carry this NODE.yaml's path in
their environment: a supervisor that comes back after it was killed finds those of its predecessor by it, whatever their
numbers, and stops them first. A lock keeps two supervisors from one state folder.
"""

import asyncio
import fcntl
import logging
import os
import signal
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clients.child import Child, Keeper
from clients.node_state import flower_home, lock_file, log_file, prepare_state, secret_file
from fedcredit.custodian.policy import require_unshared
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile, load_node_file
from fedcredit.process_id import ProcessId, started_with

MARK = "FEDCREDIT_NODE"
"""Variable of each child's environment: the path of its NODE.yaml."""
STOP_GRACE_S = 10.0
_POLL_S = 0.05
_ROOT = Path(__file__).resolve().parents[1]
_SCRIPTS = Path(sysconfig.get_path("scripts"))
# Flower reads them at import: no telemetry, no update check, no packages installed at run time.
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
# Memory of a large message goes back to the system at once, instead of staying with a runner that waits for the next.
_FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
_LOG = logging.getLogger(__name__)


def serve(path: Path) -> None:
    """Keep the node of a NODE.yaml running until SIGTERM or SIGINT; SIGHUP has the runner read the file again.

    Raises
    ------
    ConfigError
        If the file or what it names is unusable, or the node is already served.
    """
    path = path.resolve()
    node = load_node_file(path)
    check(path, node)
    node.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(node):
        for process in stop_all(children_of(path)):
            _LOG.warning("stopped process %d, which an earlier supervisor had left", process.pid)
        prepare_state(node.state)
        try:
            asyncio.run(_supervise([supernode(path, node), site_runner(path, node)], node))
        finally:
            stop_all(children_of(path))


def check(path: Path, node: NodeFile) -> None:
    """Refuse what a child would fail on, before one is started.

    Raises
    ------
    ConfigError
        If a file is missing or open to others, or Flower is not installed.
    """
    require_unshared(path, "node file")
    if not (_SCRIPTS / "flower-supernode").is_file():
        raise ConfigError(f"Flower is not installed beside {sys.executable}; run: pip install 'fedcredit[flower]'")
    if not node.root_certificates.is_file():
        raise ConfigError(f"root_certificates {node.root_certificates} does not exist; get it from the consortium.")
    if not node.node_key.is_file():
        raise ConfigError(f"node_key {node.node_key} does not exist; make it with 'fedcredit institution init'.")
    if node.node_key.stat().st_mode & 0o077:
        raise ConfigError(f"node_key {node.node_key} is open to other accounts; run: chmod 600 {node.node_key}")
    if node.relay_token is not None:
        load_relay_token(node.relay_token)


def supernode(path: Path, node: NodeFile) -> Child:
    """Flower's SuperNode: the only process here that leaves the machine, to the SuperLink."""
    command = (
        str(_SCRIPTS / "flower-supernode"),
        *("--isolation", "process", "--superlink", node.superlink, "--root-certificates", str(node.root_certificates)),
        *("--auth-supernode-private-key", str(node.node_key)),
        *("--host", "127.0.0.1", "--port", str(node.runtime_port)),
        *("--superexec-auth-secret-file", str(secret_file(node.state))),
    )
    proxy = {} if node.proxy is None else {"HTTPS_PROXY": node.proxy, "https_proxy": node.proxy}
    return Child("supernode", command, _environment(path, node) | proxy, node.state, log_file(node.state, "supernode"))


def site_runner(path: Path, node: NodeFile) -> Child:
    """The site runner, from the code that is installed here."""
    command = (sys.executable, "-m", "clients", "run", str(path))
    return Child("runner", command, _environment(path, node) | _FRUGAL, _ROOT, log_file(node.state, "runner"))


def children_of(path: Path) -> list[ProcessId]:
    """Every process of this account that was started for a NODE.yaml, by whichever supervisor."""
    return started_with(f"{MARK}={path}")


def stop_all(processes: Sequence[ProcessId], grace_s: float = STOP_GRACE_S) -> Sequence[ProcessId]:
    """Ask processes to end, and kill those that do not within a while."""
    for process in processes:
        process.send(signal.SIGTERM)
    asyncio.run(_gone(processes, grace_s))
    for process in processes:
        process.kill()
    asyncio.run(_gone(processes, grace_s))
    return processes


async def _gone(processes: Sequence[ProcessId], grace_s: float) -> None:
    """Wait for processes that are not our children, so that nobody tells us of their end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            while any(process.alive() for process in processes):
                await asyncio.sleep(_POLL_S)


async def _supervise(children: Sequence[Child], node: NodeFile) -> None:
    """Keep children until told to stop; then stop them in the reverse order, so that a task's answer gets out."""
    keepers = [Keeper(child, node.timeouts) for child in children]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, keepers[-1].send, signal.SIGHUP)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keeper.keep()) for keeper in keepers]
        await stopping.wait()
        for task, keeper in reversed([*zip(tasks, keepers, strict=True)]):
            task.cancel()
            await keeper.stop(STOP_GRACE_S)


@contextmanager
def _alone(node: NodeFile) -> Iterator[None]:
    with lock_file(node.state).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"the node of {node.state} is already served; stop that process first.") from error
        yield


def _environment(path: Path, node: NodeFile) -> dict[str, str]:
    return {
        **_QUIET,
        "FLWR_HOME": str(flower_home(node.state)),
        "HOME": str(node.state),
        "LANG": "C.UTF-8",
        "PATH": f"{_SCRIPTS}{os.pathsep}{os.defpath}",
        "PYTHONUNBUFFERED": "1",
        MARK: str(path),
    }
