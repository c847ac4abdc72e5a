"""Processes of one run on this machine: started when the one before is healthy, stopped by id, none left."""

import os
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from fedcredit.errors import ConfigError, JobError
from fedcredit.process_id import ProcessId, descendants

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0
ORPHAN_TIMEOUT_S = 5.0
_SCRIPTS = Path(sysconfig.get_path("scripts"))
_PROBE_INTERVAL_S = 0.1
_LOG_TAIL_LINES = 30
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True)
class Program:
    """A process to be started.

    Attributes
    ----------
    name
        Names it in errors, and its log.
    command
        Command line.
    healthy
        Whether it is ready for the others; asked again and again.
    """

    name: str
    command: tuple[str, ...]
    healthy: Callable[[], bool]


class Processes:
    """Processes with one environment, working directory and folder of logs.

    Parameters
    ----------
    logs
        Folder for one log file per process.
    cwd
        Working directory.
    environment
        Variables on top of this process's own.
    """

    def __init__(self, logs: Path, cwd: Path, environment: Mapping[str, str]) -> None:
        self._logs, self._cwd = logs, cwd
        self._running: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, **_clone_paths(), **environment}

    def start(self, *programs: Program) -> None:
        """Start programs side by side and wait until all are healthy.

        Raises
        ------
        ConfigError
            If a program is not installed.
        JobError
            If one ends or stays unhealthy; with the end of its log.
        """
        started = [(program, self._spawn(program)) for program in programs]
        deadline = time.monotonic() + START_TIMEOUT_S
        for program, process in started:
            while not program.healthy():
                if process.poll() is not None or time.monotonic() > deadline:
                    end = self._tail(program.name)
                    raise JobError(f"{program.name} did not start (exit code {process.poll()}):\n{end}")
                time.sleep(_PROBE_INTERVAL_S)

    def stop(self) -> None:
        """Stop everything, with all that it started in turn."""
        family = descendants({process.pid for process in self._running})
        for process in reversed(self._running):
            process.terminate()
        while self._running:
            process = self._running.pop()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _stop_orphans(family)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        try:
            with self._log(program.name).open("wb") as log:
                # In a session of its own: Ctrl-C is for us, and we stop it in order.
                process = subprocess.Popen(  # noqa: S603  commands are built in this package
                    program.command,
                    env=self.environment,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            missing = program.command[0]
            raise ConfigError(f"{missing} is missing; run: pip install -e '.[flower,ray]'") from error
        self._running.append(process)
        return process

    def _tail(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def installed(name: str) -> str:
    """Path of a program of this environment."""
    return str(_SCRIPTS / name)


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def http_healthy(address: str) -> Callable[[], bool]:
    """Probe of ``GET /health`` at HOST:PORT."""

    def probe() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/health", timeout=1.0) as reply:
                return int(reply.status) == 200
        except OSError:
            return False

    return probe


def grpc_healthy(socket_path: Path) -> Callable[[], bool]:
    """Probe of the standard gRPC health service on a Unix socket."""

    def probe() -> bool:
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_HEALTH_CHECK)
            try:
                reply = health_pb2.HealthCheckResponse.FromString(check(b"", timeout=1.0))
            except grpc.RpcError:
                return False
            return reply.status == health_pb2.HealthCheckResponse.SERVING

    return probe


def _stop_orphans(family: list[ProcessId]) -> None:
    """Give processes whose parents have ended a moment to end too, then kill them and what they start meanwhile."""
    deadline = time.monotonic() + ORPHAN_TIMEOUT_S
    while orphans := [one for one in family if one.alive()]:
        family = [*orphans, *descendants({orphan.pid for orphan in orphans})]
        if time.monotonic() > deadline:
            for one in family:
                one.kill()
        time.sleep(_PROBE_INTERVAL_S)


def _clone_paths() -> dict[str, str]:
    """Programs start one another by name, and the clone may run without being installed."""
    paths = {"PATH": str(_SCRIPTS), "PYTHONPATH": str(ROOT)}
    return {name: os.pathsep.join(filter(None, [path, os.environ.get(name)])) for name, path in paths.items()}
