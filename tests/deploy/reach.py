"""What is reached from where in a `Network`, by looking: TCP connections, HTTPS paths, listening programs."""

import ipaddress
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.namespaces import Machine

ECHO = str(Path(__file__).with_name("tls_echo.py"))
_REFUSED = 3


@contextmanager
def listening(machine: Machine, *arguments: str) -> Iterator[None]:
    """A listener on a machine, ready."""
    process = machine.start(sys.executable, ECHO, *arguments)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def reaches(source: Machine, target: str, port: int, *, user: str = "root") -> bool:
    """Whether a TCP connection from there is accepted."""
    command = ["setpriv", f"--reuid={user}", "--clear-groups", sys.executable, ECHO, "connect", target, str(port)]
    done = source.run(*command)
    assert done.returncode in {0, _REFUSED}, done.stderr
    return done.returncode == 0


def statuses(source: Machine, ca: Path, target: tuple[str, int], method: str, paths: Sequence[str]) -> list[int]:
    """What an HTTPS server answers to each path."""
    host, port = target
    done = source.run(sys.executable, ECHO, "statuses", str(ca), host, str(port), method, *paths)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def listeners(machine: Machine) -> dict[int, bool]:
    """Every TCP port on which a program of the machine listens, and whether it does on loopback only."""
    found: dict[int, bool] = {}
    for line in machine.run("ss", "-Hltn").stdout.splitlines():
        host, _, port = line.split()[3].rpartition(":")
        found[int(port)] = found.get(int(port), True) and _is_loopback(host.strip("[]"))
    return found


def _is_loopback(host: str) -> bool:
    """Whether a local address is; gRPC's sockets are IPv6 ones, with the IPv4 address in it."""
    if host == "*":
        return False
    address = ipaddress.ip_address(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
