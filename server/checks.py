"""What must be right before the coordinator serves: one row per thing, each with what is wrong and the remedy."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError, FedcreditError
from fedcredit.plan import parse_plan
from fedcredit.wire.envelope import SigningKey
from server.certificate_check import certificate_problems, expires_soon
from server.coordinator_file import CoordinatorFile
from server.loopback_tls import HOST
from server.new_job import PLAN, current_roster
from server.queue import Queue, State
from server.supervisor import is_served

FLOWER = "1.41"
_LEAST_FREE_BYTES = 500 * 10**6
_ENDED = (State.FINISHED, State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Check:
    """One row.

    Attributes
    ----------
    fault
        What is wrong, and the remedy; empty if it is right.
    found
        What is right, or a warning.
    """

    name: str
    fault: str = ""
    found: str = ""


def run_checks(file: CoordinatorFile) -> list[Check]:
    """Check everything, whatever else fails."""
    rows: dict[str, Callable[[CoordinatorFile], str]] = {
        "Flower": _flower,
        "state folder": _state,
        "key": _key,
        "dictionary": _dictionary,
        "roster": _roster,
        "certificate": _certificate,
        "ports": _ports,
    }
    return [_checked(name, check, file) for name, check in rows.items()]


def _checked(name: str, check: Callable[[CoordinatorFile], str], file: CoordinatorFile) -> Check:
    try:
        return Check(name, found=check(file))
    except FedcreditError as error:
        return Check(name, fault=str(error))
    except OSError as error:
        return Check(name, fault=f"{error.filename} cannot be read ({error.strerror}); check its owner and rights")


def _flower(_: CoordinatorFile) -> str:
    try:
        installed = version("flwr")
    except PackageNotFoundError as error:
        raise ConfigError("flwr is not installed here; run: pip install -e '.[flower]'") from error
    if not installed.startswith(f"{FLOWER}."):
        raise ConfigError(f"flwr {installed} is installed, not {FLOWER}; run: pip install 'flwr=={FLOWER}.*'")
    return f"flwr {installed}"


def _state(file: CoordinatorFile) -> str:
    folder = file.state
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".check-{os.getpid()}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free, mode = shutil.disk_usage(folder).free, folder.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"state folder {folder} cannot be written ({error.strerror}); give it to the user who runs the "
            "coordinator, or make room on its disk"
        ) from error
    if mode & 0o077:
        raise ConfigError(f"state folder {folder} is open to other users; run: chmod 700 {folder}")
    if free < _LEAST_FREE_BYTES:
        raise ConfigError(f"the disk of {folder} has {free / 1e6:.0f} MB left, less than 500; make room on it")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _key(file: CoordinatorFile) -> str:
    return f"public half {SigningKey.load(file.key).public.hex()}"


def _dictionary(file: CoordinatorFile) -> str:
    digest = load_dictionary(file.dictionary).digest().hex()
    if others := [name for name, planned in _open_jobs(file) if planned != digest]:
        raise ConfigError(
            f"{', '.join(others)} was planned with another dictionary than {file.dictionary} ({digest}); put the old "
            "file back until it has ended, or stop it"
        )
    return digest


def _open_jobs(file: CoordinatorFile) -> Iterator[tuple[str, str]]:
    """Jobs that have not ended, each with the hash of its dictionary."""
    if not file.queue.exists():
        return
    with Queue(file.queue) as queue:
        waiting = [job.name for job in queue.jobs() if job.state not in _ENDED]
    for name in waiting:
        path = file.job_folder(name) / PLAN
        try:
            plan = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}); restore it, or stop job {name}") from error
        yield name, parse_plan(plan).dictionary


def _roster(file: CoordinatorFile) -> str:
    roster = current_roster(file)
    without = [member.id for member in roster.members if member.node_key is None]
    admitted = f"; {', '.join(without)} has no node key in it and cannot connect" if without else ""
    return f"version {roster.version}, {len(roster.members)} members, until {roster.expires}{admitted}"


def _certificate(file: CoordinatorFile) -> str:
    if problems := certificate_problems(file.certificate, file.certificate_key, file.ca):
        raise ConfigError("; ".join(problems))
    return expires_soon(file.certificate) or f"{file.certificate}"


def _ports(file: CoordinatorFile) -> str:
    if is_served(file.state):
        return "in use by this coordinator"
    for host, port in ((file.fleet.host, file.fleet.port), (HOST, file.api_port)):
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be listened on ({error.strerror}); stop the program that has it, or choose "
                "another host or port in COORDINATOR.yaml"
            ) from error
    return f"{file.fleet.host}:{file.fleet.port} and {HOST}:{file.api_port} are free"
