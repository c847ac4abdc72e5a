"""Machines of a small network on one: a network namespace each, joined by a bridge in a namespace of its own.

Needs root, iproute2 and nftables. Nothing of it is seen from the machine's own namespace, and it ends with `Network`.
"""

import itertools
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_NUMBERS = itertools.count()
FIREWALLS = Path(__file__).resolve().parents[2] / "deploy" / "firewall"


@dataclass(frozen=True, slots=True)
class Machine:
    """A namespace with one address; every command is run in it."""

    namespace: str
    address: str

    def command(self, *command: str) -> list[str]:
        """The command line that runs a program on this machine."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            self.command(*command), input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    def start(self, *command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a program; its caller stops it."""
        return subprocess.Popen(self.command(*command), stdout=subprocess.PIPE, text=True, env=env)

    def firewall(self, name: str, **defined: str) -> None:
        """Load a rule file of `deploy/firewall`, with the values that it leaves open."""
        values = [part for key, value in defined.items() for part in ("-D", f"{key}={value}")]
        done = self.run("nft", *values, "-f", str(FIREWALLS / name))
        if done.returncode:
            raise RuntimeError(done.stderr)


class Network:
    """Machines with addresses 10.77.0.1, 10.77.0.2, … on one bridge, by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._tag = f"fc{os.getpid():x}-{next(_NUMBERS)}"
        self._switch = f"{self._tag}-switch"
        self.machines = {
            name: Machine(f"{self._tag}-{name}", f"10.77.0.{number}") for number, name in enumerate(names, 1)
        }

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _build(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, machine in enumerate(self.machines.values(), 1):
            self._plug_in(machine, f"port{number}")

    def _plug_in(self, machine: Machine, port: str) -> None:
        _ip("netns", "add", machine.namespace)
        ends = ("eth0", "netns", machine.namespace, "type", "veth", "peer", "name", port, "netns", self._switch)
        _ip("link", "add", *ends)
        _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", machine.namespace, "link", "set", device, "up")

    def _remove(self) -> None:
        for namespace in (*(machine.namespace for machine in self.machines.values()), self._switch):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _ip(*args: str) -> None:
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(args)}: {done.stderr}")
