"""The firewall files, on machines of their own: what an institution reaches, and what reaches it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.provisioning.certificates import make_authority, make_server_certificate
from tests.deploy.namespaces import Network
from tests.deploy.reach import ECHO, listening, reaches

pytestmark = [
    pytest.mark.system("iproute2"),
    pytest.mark.system("nftables"),
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
]
FLEET, API, OTHER = 9443, 8000, 22
INSTITUTIONS = ("bank-a", "bank-b", "hospital-c")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the coordinator's certificate."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def network(tls: Path) -> Iterator[Network]:
    """Three institutions and a coordinator that listens on its fleet port, its API port and another one."""
    with Network(("coordinator", *INSTITUTIONS)) as made, ExitStack() as stack:
        coordinator = made["coordinator"]
        write_certificate(tls, coordinator.address)
        stack.enter_context(listening(coordinator, "serve", str(tls / "tls.pem"), str(tls / "tls.key"), str(FLEET)))
        for port in (API, OTHER):
            stack.enter_context(listening(coordinator, "listen", str(port)))
        for name in INSTITUTIONS:
            stack.enter_context(listening(made[name], "listen", str(OTHER)))
        yield made


def write_certificate(folder: Path, address: str) -> None:
    """A CA in ``ca.pem`` and a server's certificate and key for an address."""
    now = datetime.now(UTC)
    made = make_server_certificate(make_authority("test", now), (address,), now)
    for name, content in (("ca.pem", made.ca), ("tls.pem", made.certificate), ("tls.key", made.key)):
        (folder / name).write_bytes(content)


@pytest.fixture
def fenced(network: Network) -> Network:
    """The network with `institution.nft` loaded at each institution."""
    for name in INSTITUTIONS:
        network[name].firewall("institution.nft", coordinator=network["coordinator"].address, port=str(FLEET))
    return network


def test_without_a_firewall_everything_is_reached(network: Network) -> None:
    for name in INSTITUTIONS:
        network[name].run("nft", "flush", "ruleset")
        assert all(reaches(network[name], network["coordinator"].address, port) for port in (FLEET, API, OTHER))
        assert reaches(network["coordinator"], network[name].address, OTHER)


@pytest.mark.parametrize("name", INSTITUTIONS)
def test_an_institution_reaches_the_fleet_port_and_nothing_else(fenced: Network, name: str, tls: Path) -> None:
    coordinator, peer = fenced["coordinator"].address, fenced[INSTITUTIONS[INSTITUTIONS.index(name) - 1]].address
    assert not [port for port in (API, OTHER) if reaches(fenced[name], coordinator, port)]
    assert not reaches(fenced[name], peer, OTHER)
    assert reaches(fenced[name], "127.0.0.1", OTHER)
    done = fenced[name].run(sys.executable, ECHO, "ask", str(tls / "ca.pem"), coordinator, str(FLEET))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", INSTITUTIONS)
def test_nothing_at_an_institution_is_reached_from_the_coordinator(fenced: Network, name: str) -> None:
    assert not reaches(fenced["coordinator"], fenced[name].address, OTHER)


def test_on_a_shared_machine_the_two_accounts_are_held_and_others_are_not(network: Network) -> None:
    machine, coordinator = network["bank-a"], network["coordinator"].address
    machine.run("nft", "flush", "ruleset")
    machine.firewall("accounts.nft", coordinator=coordinator, port=str(FLEET), node="61001", custodian="61002")
    open_ports = {
        user: [port for port in (FLEET, API, OTHER) if reaches(machine, coordinator, port, user=user)]
        for user in ("61001", "61002", "root")
    }
    assert open_ports == {"61001": [FLEET], "61002": [], "root": [FLEET, API, OTHER]}
    assert reaches(machine, "127.0.0.1", OTHER, user="61002")


def test_on_a_shared_machine_the_coordinators_own_account_alone_reaches_flowers_control_paths(network: Network) -> None:
    machine = network["coordinator"]
    machine.firewall("coordinator.nft", port=str(API), account="61003")
    try:
        reached = {
            user: [port for port in (FLEET, API, OTHER) if reaches(machine, "127.0.0.1", port, user=user)]
            for user in ("61001", "61003", "root")
        }
    finally:
        machine.run("nft", "flush", "ruleset")
    assert reached == {"61001": [FLEET, OTHER], "61003": [FLEET, API, OTHER], "root": [FLEET, OTHER]}


def test_nothing_is_left_of_a_network() -> None:
    with Network(("one",)) as made:
        namespace = made["one"].namespace
    assert namespace not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
