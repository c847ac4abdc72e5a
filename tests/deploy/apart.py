"""A consortium with each party on a machine of its own, behind the firewall of `deploy/firewall`.

The programs, files and commands are those of `LiveConsortium`; here every address is another machine's, and the ports
are those that the documents name.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fedcredit.custodian.relay_token import make_relay_token
from fedcredit.provisioning.certificates import make_authority, make_server_certificate
from fedcredit.roster import Roster
from tests.deploy.namespaces import Network
from tests.deployment.live import LiveConsortium

FLEET, API, RUNTIME, CUSTODIAN = 9443, 8000, 9094, 9095
COORDINATOR = "coordinator"


class ConsortiumApart(LiveConsortium):
    """Banks and their coordinator in the namespaces of a network.

    Parameters
    ----------
    folder
        Where all their folders go.
    network
        One machine named ``coordinator``, and one for each bank: ``bank-1``, ``bank-2``, …
    by_port
        Institution whose node reaches its custodian by the loopback port; the others' use the socket.
    """

    def __init__(self, folder: Path, network: Network, *, by_port: str) -> None:
        self.network, self._by_port = network, by_port
        super().__init__(folder, banks=len(network.machines) - 1, hospitals=0)

    @property
    def address(self) -> str:
        """The coordinator's address."""
        return self.network[COORDINATOR].address

    @property
    def ca(self) -> Path:
        """The certificate that institutions hold."""
        return self.coordinator.parent / "tls" / "ca.pem"

    @property
    def own_ca(self) -> Path:
        """The certificate of the coordinator's own loopback."""
        return self.coordinator.parent / "state" / "loopback" / "ca.pem"

    def fence(self, institution: str) -> None:
        """Load an institution's firewall."""
        self.network[institution].firewall("institution.nft", coordinator=self.address, port=str(FLEET))

    def refused_by_firewall(self, institution: str) -> int:
        """How many packets wanted out to somewhere else, since the firewall was loaded."""
        done = self.network[institution].run("nft", "--json", "list", "chain", "inet", "fedcredit", "output")
        rules = [one["rule"]["expr"] for one in json.loads(done.stdout)["nftables"] if "rule" in one]
        return sum(part["counter"]["packets"] for rule in rules for part in rule if "counter" in part)

    def _command(self, _process: str, *arguments: str) -> list[str]:
        machine = self.network[_process.removeprefix("custodian-").removeprefix("node-")]
        return machine.command(*super()._command(_process, *arguments))

    def _write_coordinator(self, roster: Roster) -> None:
        super()._write_coordinator(roster)
        now = datetime.now(UTC)
        server = make_server_certificate(make_authority("test authority", now), (self.address,), now)
        self.ca.write_bytes(server.ca)
        self.ca.with_name("server.pem").write_bytes(server.certificate)
        self.ca.with_name("server.key").write_bytes(server.key)
        _edit(self.coordinator, fleet={"host": "0.0.0.0", "port": FLEET}, api_port=API)

    def _write_institution(self, name: str, private: bytes, public: str, bundle: str) -> None:
        super()._write_institution(name, private, public, bundle)
        place, token = self.places[name], self.folder / name / "relay.token"
        make_relay_token(token)
        shared: dict[str, Any] = {"relay_token": str(token)}
        by_port = {"custodian": f"127.0.0.1:{CUSTODIAN}"} if name == self._by_port else {}
        _edit(place.site, loopback_port=CUSTODIAN, **shared)
        _edit(place.node, superlink=f"{self.address}:{FLEET}", runtime_port=RUNTIME, **shared, **by_port)


def _edit(path: Path, **fields: Any) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(document | fields, sort_keys=False), encoding="utf-8")
