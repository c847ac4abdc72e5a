"""COORDINATOR.yaml: the coordinator's identity, the consortium that it serves, its ports and where its state lies.

Paths are relative to the file. Institutions reach one address, `fleet`; everything else is loopback.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.dictionary.model_file import load_model
from fedcredit.roster import InstitutionId, Region
from server.pacing import Pacing


class Fleet(BaseModel):
    """The one address that institutions reach.

    Attributes
    ----------
    host
        Address of the network interface to listen on; 0.0.0.0 for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="0.0.0.0", min_length=1)  # noqa: S104  institutions are elsewhere
    port: int = Field(default=9443, ge=1, le=65535)


class CoordinatorFile(BaseModel):
    """The fields of COORDINATOR.yaml.

    Attributes
    ----------
    name
        As in each SITE.yaml's ``coordinators``.
    region
        Where the coordinator runs, in the roster's words; for members whose policies have a rule for routes.
    key
        Ed25519 identity; its public half is pinned in each SITE.yaml.
    roster
        Roster file that all members have signed.
    certificate, certificate_key
        TLS certificate with the names and addresses that institutions connect to, and its private key.
    ca
        Certificate of the authority that issued `certificate`.
    api_port
        Port of 127.0.0.1 for Flower's control and runtime paths.
    state
        Folder of everything that the coordinator remembers; private, on a local disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: InstitutionId
    region: Region | None = None
    key: Path
    dictionary: Path
    roster: Path
    fleet: Fleet = Fleet()
    certificate: Path
    certificate_key: Path
    ca: Path
    api_port: int = Field(default=8000, ge=1, le=65535)
    state: Path
    pacing: Pacing = Pacing()

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.api_port == self.fleet.port:
            raise ValueError(f"api_port and fleet · port are both {self.api_port}; give them different ports")
        return self

    @property
    def queue(self) -> Path:
        """Where the job queue lies."""
        return self.state / "queue.sqlite"

    def job_folder(self, job: str) -> Path:
        """Folder of one job: JOB.yaml, plan.json, job.sqlite, released/."""
        return self.state / "jobs" / job


def load_coordinator_file(path: Path) -> CoordinatorFile:
    """Read COORDINATOR.yaml and resolve its paths against its folder.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds a wrong, unknown or missing field.
    """
    file = load_model(CoordinatorFile, path, "coordinator file", "give the path of a COORDINATOR.yaml.")
    folder = path.resolve().parent
    names = ("key", "dictionary", "roster", "certificate", "certificate_key", "ca", "state")
    return file.model_copy(update={name: folder / getattr(file, name) for name in names})
