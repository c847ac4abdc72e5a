"""Flower's own processes on this machine: its simulation runtime, and a deployment on loopback.

Both run the bundle that is delivered: the apps in `server` and `clients`, copied to a temporary folder
whose name Flower accepts. Everything started here has a Flower home of its own in a temporary folder,
listens on a free port of 127.0.0.1 without TLS, reports nothing home, and is stopped by process id when the
context ends.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fedcredit.errors import JobError
from server.bundle import stage_app
from simulations.processes import Processes, Program, free_port, grpc_healthy, http_healthy, installed

# Read by Flower and Ray at import: no telemetry, no update check, no packages installed at run time.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
DEFAULT_TIMEOUT_S = 3600.0
_CONNECTION = "here"
_LOG_TAIL_CHARACTERS = 4000

OnLine = Callable[[str], None]


def _nobody(_line: str) -> None:
    """Hear a line and do nothing."""


@dataclass(frozen=True, slots=True)
class CustodianProcess:
    """One institution's custodian, to be started.

    Attributes
    ----------
    institution
        Its id; names the log.
    command
        Command line that serves it.
    socket
        Unix socket on which it will listen.
    """

    institution: str
    command: tuple[str, ...]
    socket: Path


class SuperLink:
    """A running SuperLink to which apps can be submitted.

    Parameters
    ----------
    home
        Flower home of this run.
    processes
        Where to start it.
    simulation
        Whether it simulates each run's nodes itself.
    """

    def __init__(self, home: Path, processes: Processes, *, simulation: bool) -> None:
        self._home, self._processes, self._simulation = home, processes, simulation
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        mode = ("--simulation",) if simulation else ()
        command = (installed("flower-superlink"), "--insecure", "--host", "127.0.0.1", "--port", str(port), *mode)
        processes.start(Program("superlink", command, http_healthy(self.address)))
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_CONNECTION}"\n\n'
            f'[superlink.{_CONNECTION}]\naddress = "{self.address}"\ninsecure = true\n',
            encoding="utf-8",
        )

    def run(
        self, app: Path, config: Mapping[str, Any], *, nodes: int, timeout_s: float, on_line: OnLine = _nobody
    ) -> str:
        """Run the app in a folder with ``flwr run .`` and wait for its end; the run's log.

        Parameters
        ----------
        app
            Folder with the app's pyproject.toml.
        config
            Job config, which becomes the run config's JSON string; empty for the app's own.
        nodes
            Number of simulated nodes; a deployment has the nodes that it has.
        timeout_s
            Most seconds for the run.
        on_line
            Told each line of the log as it comes.

        Raises
        ------
        JobError
            If the run does not complete; with the end of its log.
        """
        options = ["--federation-config", f"num-supernodes={nodes}"] if self._simulation else []
        if config:
            options += ["--run-config", str(self._run_config(config))]
        log = self._flwr(app, timeout_s, on_line, "run", ".", "--stream", *options)
        runs = json.loads(self._flwr(app, timeout_s, _nobody, "ls", "--format", "json"))["runs"]
        status = max(runs, key=lambda run: str(run["pending-at"]))["status"]
        if status != "finished:completed":
            raise JobError(f"the Flower run is {status}; the end of its log:\n{log[-_LOG_TAIL_CHARACTERS:]}")
        return log

    def _run_config(self, config: Mapping[str, Any]) -> Path:
        path = self._home / "run-config.toml"
        # A JSON string is also a TOML string, as long as no character is written as a pair of escapes.
        text = json.dumps(json.dumps(config), ensure_ascii=False)
        path.write_text(f"cfg-json = {text}\n", encoding="utf-8")
        return path

    def _flwr(self, app: Path, timeout_s: float, on_line: OnLine, *arguments: str) -> str:
        """Run Flower's command line in the app's folder; its output."""
        with subprocess.Popen(  # noqa: S603  Flower's own program
            [installed("flwr"), *arguments],
            cwd=app,
            env=self._processes.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            # Killed, it closes its output, and the loop below ends.
            clock = threading.Timer(timeout_s, process.kill)
            clock.start()
            try:
                output = "".join(_told(process.stdout or (), on_line))
            except BaseException:
                process.kill()
                raise
            finally:
                clock.cancel()
        if process.returncode == -signal.SIGKILL:
            raise JobError(f"'flwr {arguments[0]}' did not end within {timeout_s:g} s.")
        if process.returncode:
            raise JobError(f"'flwr {arguments[0]}' failed:\n{output}")
        return output


class LoopbackDeployment:
    """A SuperLink, and per institution a custodian and a SuperNode, each a process of its own.

    Parameters
    ----------
    custodians
        The institutions' custodians.
    """

    def __init__(self, custodians: Sequence[CustodianProcess]) -> None:
        self._custodians = tuple(custodians)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedcredit-")))
            self._processes = Processes(self._home, self._home, QUIET | {"FLWR_HOME": str(self._home)})
            stack.callback(self._processes.stop)
            self._start()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(self, config: Mapping[str, Any], *, timeout_s: float = DEFAULT_TIMEOUT_S, on_line: OnLine = _nobody) -> str:
        """Run a job on this deployment; the run's log.

        Raises
        ------
        JobError
            If the run does not complete.
        """
        with tempfile.TemporaryDirectory(prefix="fedcredit-") as folder:
            app = stage_app(Path(folder))
            return self._superlink.run(app, config, nodes=len(self._custodians), timeout_s=timeout_s, on_line=on_line)

    def _start(self) -> None:
        self._processes.start(
            *(Program(one.institution, one.command, grpc_healthy(one.socket)) for one in self._custodians)
        )
        self._superlink = SuperLink(self._home, self._processes, simulation=False)
        self._processes.start(*(_node(one, self._superlink.address) for one in self._custodians))


def run_in_flower_simulation(
    config: Mapping[str, Any],
    *,
    nodes: int,
    app: Path | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    on_line: OnLine = _nobody,
) -> str:
    """Run a job in Flower's simulation runtime; the run's log.

    Parameters
    ----------
    config
        Job config; empty for the one in the app's pyproject.toml.
    nodes
        Number of simulated nodes, one per institution.
    app
        Folder to run; by default a copy of what the bundle may hold.
    timeout_s
        Most seconds for the run.
    on_line
        Told each line of the log as it comes.

    Raises
    ------
    JobError
        If the run does not complete.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedcredit-")))
        folder_to_run = app or stage_app(home)
        processes = Processes(home, folder_to_run, QUIET | {"FLWR_HOME": str(home)})
        stack.callback(processes.stop)
        superlink = SuperLink(home, processes, simulation=True)
        return superlink.run(folder_to_run, config, nodes=nodes, timeout_s=timeout_s, on_line=on_line)


def custodian_of_site(institution: str, site: Path, socket: Path, *options: str) -> CustodianProcess:
    """Serve the custodian of a SITE.yaml as an institution does."""
    cli = (sys.executable, "-c", "from fedcredit.cli import main; main()")
    return CustodianProcess(institution, (*cli, "custodian", "serve", *options, str(site)), socket)


def _node(custodian: CustodianProcess, superlink: str) -> Program:
    port = free_port()
    addresses = ("--superlink", superlink, "--host", "127.0.0.1", "--port", str(port))
    config = ("--node-config", f'custodian="{custodian.socket}"')
    command = (installed("flower-supernode"), "--insecure", *addresses, *config)
    return Program(f"node-{custodian.institution}", command, http_healthy(f"127.0.0.1:{port}"))


def _told(lines: Iterable[str], on_line: OnLine) -> Iterator[str]:
    for line in lines:
        on_line(line)
        yield line
