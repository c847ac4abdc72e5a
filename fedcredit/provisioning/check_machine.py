"""The machine's side of a check: Flower's version, disk space, and whether a custodian that was started answers."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from fedcredit.custodian.address import CHANNEL_OPTIONS, LOOPBACK, METHOD, grpc_target
from fedcredit.custodian.site_file import SiteFile
from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile
from fedcredit.provisioning.checks import Row, Verdict, checked, existing_folder, judged, skipped

FLOWER = "1.41"
_PROGRAM = "flower-supernode"
_LEAST_FREE_BYTES = 2**30
_START_TIMEOUT_S = 120
_ANSWER_TIMEOUT_S = 10
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def machine_rows(file: SiteFile, node: NodeFile | None) -> list[Row]:
    """Rows of Flower, disk and custodian."""
    flower = checked("Flower", _look_at_flower) if node is not None else skipped("Flower", "no NODE.yaml was given")
    return [flower, _disk_row(file, node), _custodian_row(file, node)]


def _look_at_flower() -> str:
    beside = Path(sys.executable).with_name(_PROGRAM)
    program = str(beside) if beside.is_file() else shutil.which(_PROGRAM)
    if program is None:
        raise ConfigError(f"{_PROGRAM} is not installed here; install the node kit into this environment.")
    said = _version_of(program)
    if re.search(rf"\b{re.escape(FLOWER)}\.\d+", said) is None:
        raise ConfigError(f"{program} says {said!r}, and version {FLOWER} is needed; install the node kit's Flower.")
    return f"{program}: {said}"


def _version_of(program: str) -> str:
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as home:
        try:
            done = subprocess.run(  # noqa: S603  (Flower's own program, no input of anybody's)
                [program, "--version"],
                env={**os.environ, **_QUIET, "FLWR_HOME": home},
                capture_output=True,
                text=True,
                timeout=_START_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{program} does not start ({error}); install the node kit anew.") from error
    found = re.search(r"Flower version: \S+", done.stdout + done.stderr)
    return found.group() if found else (done.stdout + done.stderr).strip()[-80:]


def _disk_row(file: SiteFile, node: NodeFile | None) -> Row:
    folders = {existing_folder(file.ledger.parent): "ledger and audit trail"}
    if node is not None:
        folders[existing_folder(node.state)] = "the node's state"
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    problems = [
        f"{folder} has {free[folder] / 2**20:.0f} MiB left for {what}; make room for {_LEAST_FREE_BYTES / 2**20:.0f}."
        for folder, what in folders.items()
        if free[folder] < _LEAST_FREE_BYTES
    ]
    return judged("disk", problems, f"{min(free.values()) / 2**30:.1f} GiB free")


def _custodian_row(file: SiteFile, node: NodeFile | None) -> Row:
    if node is not None and not node.custodian_is_a_port and Path(node.custodian).resolve() != file.socket.resolve():
        return Row(
            "custodian",
            Verdict.FAILED,
            f"NODE.yaml reaches for {node.custodian}, and SITE.yaml listens on {file.socket}; write the same in both.",
        )
    address = str(file.socket) if node is None else node.custodian
    if not _listens(address):
        return skipped("custodian", "not started; run: fedcredit custodian serve SITE.yaml")
    return checked("custodian", lambda: _ask(address))


def _listens(address: str) -> bool:
    """Whether there is a socket, or somebody at a port."""
    host, _, port = address.rpartition(":")
    if host != LOOPBACK:
        return Path(address).exists()
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _ask(address: str) -> str:
    with grpc.insecure_channel(grpc_target(address), options=CHANNEL_OPTIONS) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        request = health_pb2.HealthCheckRequest(service=METHOD.split("/")[1])
        try:
            reply = check(request.SerializeToString(), timeout=_ANSWER_TIMEOUT_S)
        except grpc.RpcError as error:
            raise ConfigError(
                f"nobody answers on {address} ({error.code().name}); start the custodian, or see its log if it runs."
            ) from error
    answer = health_pb2.HealthCheckResponse.FromString(reply)
    if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) != "SERVING":
        raise ConfigError(f"the custodian on {address} is stopping; see its log.")
    return f"answers on {address}"
