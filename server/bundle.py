"""The app bundle that the coordinator submits: the same bytes from every copy of the same clone.

Institutions review these files once and list the bundle's SHA-256 in NODE.yaml; the dispatcher submits no other.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from fedcredit.errors import ConfigError
from server.environment import ROOT, environment, program

APP_NAME = "fedcredit"
BUNDLED_FOLDERS = ("server", "clients", "configs")
BUNDLED_FILES = ("pyproject.toml", "LICENSE", "README.md", ".gitignore")


def stage_app(folder: Path, root: Path = ROOT) -> Path:
    """Copy what the bundle may hold to a folder of a name that Flower accepts; the copy.

    ``flwr build`` refuses a folder called ``My_Clone``, and both it and ``flwr run`` look at every file of a
    folder, virtual environments and run folders included.

    Parameters
    ----------
    folder
        Where to put the copy.
    root
        The clone.
    """
    app = folder / APP_NAME
    app.mkdir()
    for name in BUNDLED_FOLDERS:
        shutil.copytree(root / name, app / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUNDLED_FILES:
        shutil.copy(root / name, app)
    return app


def build_bundle(app: Path) -> bytes:
    """Build a staged app the way that ``flwr run`` does.

    Raises
    ------
    ConfigError
        If Flower is not installed, or refuses the app.
    """
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name:
        folder = Path(name)
        command = [program("flwr"), "build", "--app", str(app)]
        try:
            built = subprocess.run(  # noqa: S603  Flower's own program
                command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise ConfigError("flwr is not installed here; run: pip install -e '.[flower]'") from error
        made = list(folder.glob("*.fab"))
        if built.returncode or len(made) != 1:
            raise ConfigError(f"'flwr build' refused the clone: {(built.stderr or built.stdout).strip()[-2000:]}")
        return made[0].read_bytes()


def bundle_of_clone(root: Path = ROOT) -> bytes:
    """The bundle of a clone."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as folder:
        return build_bundle(stage_app(Path(folder), root))


def bundle_hash(bundle: bytes) -> str:
    """SHA-256 as hex: what NODE.yaml lists and what Flower calls the run's ``fab-hash``."""
    return hashlib.sha256(bundle).hexdigest()
