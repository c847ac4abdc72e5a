"""The real programs on machines of their own: a job through the firewalls, and what is reached while they run."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedcredit.plan import Plan
from tests.deploy.apart import API, COORDINATOR, CUSTODIAN, FLEET, RUNTIME, ConsortiumApart
from tests.deploy.namespaces import Network
from tests.deploy.reach import listeners, listening, reaches, statuses

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.system("iproute2"),
    pytest.mark.system("nftables"),
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
]
# Nothing but the programs ever connects from the last one: its firewall's counter is theirs.
PROBED = ("bank-1", "bank-2")
WATCHED = "bank-3"
INSTITUTIONS = (*PROBED, WATCHED)
SSH = 22
GUARDED = {
    "GET": ("/docs", "/openapi.json", "/v1/control/list-runs", "/v1/runtime/acquire-task"),
    "POST": ("/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task"),
}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Machines with a listener each that is none of ours, and a way out that leads through the coordinator's."""
    with Network((COORDINATOR, *INSTITUTIONS)) as made, ExitStack() as stack:
        for machine in made.machines.values():
            stack.enter_context(listening(machine, "listen", str(SSH)))
        for name in INSTITUTIONS:
            # Without a route, what a program wants elsewhere would fail before the firewall sees it.
            assert made[name].run("ip", "route", "add", "default", "via", made[COORDINATOR].address).returncode == 0
        yield made


@pytest.fixture(scope="module")
def consortium(network: Network) -> Iterator[ConsortiumApart]:
    """All programs, each institution's behind its firewall from the start."""
    with tempfile.TemporaryDirectory(prefix="ns-") as folder:
        made = ConsortiumApart(Path(folder), network, by_port="bank-2")
        for name in INSTITUTIONS:
            made.fence(name)
        with made:
            yield made
        assert made.left_over == []


@pytest.fixture(scope="module", autouse=True)
def plan(consortium: ConsortiumApart) -> Plan:
    """A job without noise that is under way: every institution has joined."""
    plan = consortium.submit("apart")
    consortium.wait_for(plan, "keys")
    return plan


@pytest.mark.parametrize("name", PROBED)
def test_an_institution_reaches_the_fleet_port_and_no_other(consortium: ConsortiumApart, name: str) -> None:
    network = consortium.network
    ports = listeners(network[COORDINATOR])
    assert {FLEET, API, SSH} <= ports.keys()
    assert [port for port in sorted(ports) if reaches(network[name], consortium.address, port)] == [FLEET]


@pytest.mark.parametrize("name", PROBED)
def test_the_fleet_port_shows_no_path_but_the_fleets_and_the_health(consortium: ConsortiumApart, name: str) -> None:
    machine, fleet = consortium.network[name], (consortium.address, FLEET)
    assert statuses(machine, consortium.ca, fleet, "GET", ["/health"]) == [200]
    for method, paths in GUARDED.items():
        assert statuses(machine, consortium.ca, fleet, method, paths) == [404] * len(paths)
    # They are there, on the coordinator's own loopback.
    coordinator, inside = consortium.network[COORDINATOR], ("127.0.0.1", API)
    assert 404 not in statuses(coordinator, consortium.own_ca, inside, "POST", GUARDED["POST"])
    assert statuses(coordinator, consortium.own_ca, inside, "GET", ["/docs"]) == [200]


@pytest.mark.parametrize("source", [COORDINATOR, *PROBED])
def test_nothing_at_an_institution_is_reached_from_another_machine(consortium: ConsortiumApart, source: str) -> None:
    for name in {*INSTITUTIONS} - {source}:
        target, ports = consortium.network[name], listeners(consortium.network[name])
        assert {RUNTIME, CUSTODIAN, SSH} <= ports.keys()
        reached = [port for port in ports if reaches(consortium.network[source], target.address, port)]
        assert reached == []


def test_without_firewalls_loopback_still_keeps_our_programs_apart(consortium: ConsortiumApart) -> None:
    coordinator, source, target = (consortium.network[name] for name in (COORDINATOR, *PROBED))
    try:
        for machine in (source, target):
            machine.run("nft", "flush", "ruleset")
        reached = [
            {port for port in listeners(machine) if reaches(source, machine.address, port)}
            for machine in (coordinator, target)
        ]
    finally:
        for name in PROBED:
            consortium.fence(name)
    assert reached == [{FLEET, SSH}, {SSH}]


def test_our_programs_listen_on_loopback_but_for_the_fleet_port(consortium: ConsortiumApart) -> None:
    outside = {
        name: {port for port, inside in listeners(machine).items() if not inside}
        for name, machine in consortium.network.machines.items()
    }
    assert outside == {COORDINATOR: {FLEET, SSH}, **{name: {SSH} for name in INSTITUTIONS}}


def test_the_job_gives_the_model_of_the_same_plan_in_process(consortium: ConsortiumApart, plan: Plan) -> None:
    assert consortium.finish(plan) == consortium.expected(plan)


def test_no_program_wanted_anything_but_the_fleet_port(consortium: ConsortiumApart, plan: Plan) -> None:
    consortium.finish(plan)
    assert consortium.refused_by_firewall(WATCHED) == 0
    assert not reaches(consortium.network[WATCHED], "192.0.2.1", FLEET)
    assert consortium.refused_by_firewall(WATCHED) > 0
