"""What every Flower process of the coordinator is started with: its program, its environment, its own Flower home."""

import os
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SCRIPTS = Path(sysconfig.get_path("scripts"))
# Read by Flower at import: no telemetry, no update check, no packages installed at run time.
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
}


def program(name: str) -> str:
    """Path of a program of this Python environment."""
    return str(_SCRIPTS / name)


def environment(flower_home: Path) -> dict[str, str]:
    """The variables of this process, with Flower quiet and at home in a folder.

    Flower's programs start one another by name, and the clone may run without being installed.
    """
    paths = {"PATH": str(_SCRIPTS), "PYTHONPATH": str(ROOT)}
    joined = {name: os.pathsep.join(filter(None, [path, os.environ.get(name)])) for name, path in paths.items()}
    return {**os.environ, **joined, **_QUIET, "FLWR_HOME": str(flower_home)}
