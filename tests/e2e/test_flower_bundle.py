"""What travels to an institution, and that a folder of any name can be built from."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from server.bundle import stage_app
from simulations.flower import QUIET
from simulations.processes import ROOT, installed

pytestmark = pytest.mark.e2e


@pytest.fixture
def bundle(tmp_path: Path) -> set[str]:
    """Names in the bundle that ``flwr build`` makes of a folder whose parent is called My_Clone."""
    (tmp_path / "My_Clone").mkdir()
    app = stage_app(tmp_path / "My_Clone")
    for stray in ("data/customers.json", "fedcredit/noise.py", "tests/conftest.py", "server/customers.csv"):
        (app / stray).parent.mkdir(exist_ok=True)
        (app / stray).write_text("")
    subprocess.run(
        [installed("flwr"), "build"],
        cwd=app,
        env=os.environ | QUIET | {"FLWR_HOME": str(tmp_path / "home")},
        capture_output=True,
        check=True,
    )
    (built,) = app.glob("*.fab")
    return set(zipfile.ZipFile(built).namelist())


def test_only_the_apps_and_their_configs_travel(bundle: set[str]) -> None:
    assert {name.split("/")[0] for name in bundle} == {
        ".info",
        "LICENSE",
        "README.md",
        "clients",
        "configs",
        "pyproject.toml",
        "server",
    }
    assert {Path(name).suffix for name in bundle if name.startswith(("server", "clients"))} == {".py"}
    assert {Path(name).suffix for name in bundle if name.startswith("configs")} == {".yaml"}


def test_the_apps_travel_whole(bundle: set[str]) -> None:
    modules = [path for folder in ("server", "clients") for path in (ROOT / folder).rglob("*.py")]
    assert {path.relative_to(ROOT).as_posix() for path in modules} <= bundle
