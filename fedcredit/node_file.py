"""NODE.yaml: what the node user's side of an institution connects to, and which app bundles were reviewed.

The node user runs Flower's SuperNode and the site runner. It holds no record, no key of the custodian and no policy:
nothing in this file opens any of them. Paths are relative to the file. Nothing in it comes from a coordinator.
"""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fedcredit.custodian.address import grpc_target
from fedcredit.dictionary.model_file import load_model
from fedcredit.errors import ConfigError

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_BundleHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else 0


def _superlink(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not _port(port) or any(sign in host for sign in "/@ "):
        raise ValueError(f"{address!r} is not host:port; write e.g. consortium.example:9443, without https://")
    return address


def _proxy(url: str) -> str:
    # It may hold a password, so the value is not repeated.
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and parts.hostname and parts.port and parts.path in {"", "/"}
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not a proxy's URL; write e.g. http://proxy.bank.example:3128")
    return url


def _custodian(address: str) -> str:
    try:
        grpc_target(address)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return address


class Timeouts(BaseModel):
    """How long the node user's processes wait, in seconds.

    Attributes
    ----------
    custodian_connect_s
        For a custodian that cannot be reached, e.g. while it restarts.
    answer_s
        For the custodian's answer to one message.
    poll_s
        Between two questions to the SuperNode for a task.
    restart_first_s, restart_longest_s
        Before a process that ended is started again; doubles from the first to the longest. The longest should exceed
        60 s: for so long the SuperLink takes a SuperNode that was killed for alive, and refuses its successor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    custodian_connect_s: _Seconds = 10.0
    answer_s: _Seconds = 3600.0
    poll_s: _Seconds = 0.1
    restart_first_s: _Seconds = 1.0
    restart_longest_s: _Seconds = 65.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.restart_longest_s < self.restart_first_s:
            raise ValueError(
                f"restart_longest_s {self.restart_longest_s:g} is below restart_first_s {self.restart_first_s:g}; "
                "raise it"
            )
        return self


class NodeFile(BaseModel):
    """The fields of NODE.yaml.

    Attributes
    ----------
    superlink
        The one host:port that this node connects to.
    root_certificates
        PEM file of who may vouch for the SuperLink, and for a proxy that inspects TLS.
    proxy
        ``http://host:port`` of the proxy through which alone the SuperLink is reached; a direct connection if left out.
    node_key
        EC private key in OpenSSH format, not encrypted; its public half is beside it, with ``.pub`` added.
    runtime_port
        Port of 127.0.0.1 on which the SuperNode hands tasks to the site runner.
    custodian
        Path of the custodian's Unix socket, or 127.0.0.1:port.
    relay_token
        File with 64 hex digits that the custodian demands with each call; needed with a port.
    bundles
        SHA-256 of each app bundle of the coordinator that was reviewed; with none, every message is refused.
    state
        Folder of Flower's home, the logs and the list of running processes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlink: Annotated[str, AfterValidator(_superlink)]
    root_certificates: Path
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    node_key: Path
    runtime_port: int = Field(default=9094, ge=1, le=65535)
    custodian: Annotated[str, Field(min_length=1), AfterValidator(_custodian)]
    relay_token: Path | None = None
    bundles: tuple[_BundleHash, ...]
    state: Path
    timeouts: Timeouts = Timeouts()

    @model_validator(mode="after")
    def _guarded_port(self) -> Self:
        if self.custodian_is_a_port and self.relay_token is None:
            raise ValueError(
                f"custodian {self.custodian} is a port, which every account on this machine reaches; name a relay_token"
            )
        return self

    @property
    def custodian_is_a_port(self) -> bool:
        """Whether the custodian listens on a loopback port; else `custodian` is a socket's path."""
        return not grpc_target(self.custodian).startswith("unix:")


def load_node_file(path: Path) -> NodeFile:
    """Read NODE.yaml and resolve its paths against its folder.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds a wrong, unknown or missing field.
    """
    file = load_model(NodeFile, path, "node file", "copy a NODE.yaml from clients/bank or clients/hospital.")
    folder = path.resolve().parent
    names = ("root_certificates", "node_key", "relay_token", "state")
    resolved = {name: folder / value for name in names if (value := getattr(file, name)) is not None}
    custodian = file.custodian if file.custodian_is_a_port else str(folder / file.custodian)
    return file.model_copy(update={**resolved, "custodian": custodian})
