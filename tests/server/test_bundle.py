"""The app bundle: the same bytes from every copy of the clone, and others as soon as a file of it differs."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from server.bundle import BUNDLED_FILES, BUNDLED_FOLDERS, build_bundle, bundle_hash, bundle_of_clone, stage_app
from server.environment import ROOT

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return bundle_of_clone()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A clone in a folder of another name, with what other tools leave in it."""
    clone = tmp_path / "My_Clone"
    for name in BUNDLED_FOLDERS:
        shutil.copytree(ROOT / name, clone / name)
    for name in BUNDLED_FILES:
        shutil.copy(ROOT / name, clone)
    for stray in ("data/customers.json", "fedcredit/noise.py", "server/customers.csv", "server/__pycache__/x.pyc"):
        (clone / stray).parent.mkdir(exist_ok=True)
        (clone / stray).write_text("")
    return clone


def test_the_same_from_another_folder(bundle: bytes, copy: Path) -> None:
    assert bundle_of_clone(copy) == bundle


def test_the_same_twice_and_what_the_command_prints(bundle: bytes, tmp_path: Path) -> None:
    file = tmp_path / "app.fab"
    command = [sys.executable, "-m", "server", "bundle", "--out", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [bundle_hash(bundle)]
    assert file.read_bytes() == bundle
    assert "server/dispatch.py" in zipfile.ZipFile(file).namelist()


def test_another_as_soon_as_a_file_differs(bundle: bytes, copy: Path) -> None:
    with (copy / "clients/app.py").open("a") as file:
        file.write("\n")
    assert bundle_of_clone(copy) != bundle


def test_a_clone_that_flower_refuses_is_one_sentence(copy: Path, tmp_path: Path) -> None:
    app = stage_app(tmp_path, copy)
    (app / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ConfigError, match="'flwr build' refused the clone"):
        build_bundle(app)
