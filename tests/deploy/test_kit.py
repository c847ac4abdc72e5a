"""The node kit: pins that pip enforces, an audit that does not pretend, scripts that install and remove."""

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.build_kit import hash_list, requirements, resolve, verdict

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=800)


def write_wheel(folder: Path, name: str, body: str = "", requires: str = "") -> Path:
    """A wheel of one module."""
    files = {
        f"{name}.py": body,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{name}-1.0.dist-info/RECORD"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
        digests = {file: hashlib.sha256(text.encode()).digest() for file, text in files.items()}
        rows = [f"{f},sha256={base64.urlsafe_b64encode(d).rstrip(b'=').decode()}," for f, d in digests.items()]
        wheel.writestr(record, "\n".join([*rows, f"{record},,\n"]))
    return path


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    write_wheel(folder, "kitone", requires="Requires-Dist: kittwo")
    write_wheel(folder, "kittwo")
    write_wheel(folder, "kitthree")
    return folder


def install(wheelhouse: Path, listed: Path) -> subprocess.CompletedProcess[str]:
    """As install.sh does, into a folder."""
    options = ["--isolated", "--require-hashes", "--no-index", "--find-links", str(wheelhouse)]
    target = ["--target", str(listed.with_suffix(".installed")), "--disable-pip-version-check"]
    return run(sys.executable, "-m", "pip", "install", *options, *target, "-r", listed)


def test_requirements_name_what_is_needed_by_hash(wheelhouse: Path, tmp_path: Path) -> None:
    pins = resolve(wheelhouse, ["kitone"])
    assert [pin.name for pin in pins] == ["kitone", "kittwo"]
    (tmp_path / "kit.txt").write_text(requirements(pins))
    done = install(wheelhouse, tmp_path / "kit.txt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kit.installed" / "kittwo.py").is_file()


def test_an_exchanged_wheel_is_not_installed(wheelhouse: Path, tmp_path: Path) -> None:
    (tmp_path / "kit.txt").write_text(requirements(resolve(wheelhouse, ["kitone"])))
    write_wheel(wheelhouse, "kittwo", body="print('something else')\n")
    done = install(wheelhouse, tmp_path / "kit.txt")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_hash_list_notices_a_changed_file(wheelhouse: Path) -> None:
    (wheelhouse / "KIT.sha256").write_text(hash_list(wheelhouse))
    check = ["sh", "-c", f"cd {wheelhouse} && sha256sum -c --quiet KIT.sha256"]
    assert run(*check).returncode == 0
    (wheelhouse / "kittwo-1.0-py3-none-any.whl").write_bytes(b"something else")
    assert run(*check).returncode != 0


NO_FAULT = {"name": "a", "version": "1", "vulns": []}
FAULT = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "errors", "said"),
    [
        ([NO_FAULT], "", "audit: no known vulnerability in 1 packages"),
        ([NO_FAULT, FAULT], "", "b 2: PYSEC-1"),
        ([NO_FAULT, UNKNOWN], "", "audit: not run (no answer about 1 of 2 packages)"),
        (None, "Traceback\nConnectionError: no route\n", "audit: not run (ConnectionError: no route)"),
        (None, "", "audit: not run (no answer)"),
    ],
)
def test_an_audit_that_could_not_look_does_not_pretend(packages: object, errors: str, said: str) -> None:
    report = "" if packages is None else json.dumps({"dependencies": packages})
    assert verdict(report, errors) == said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(script: Path) -> None:
    assert run("sh", "-n", script).returncode == 0
    assert os.access(script, os.X_OK)


@pytest.mark.system("shellcheck")
def test_shellcheck_finds_no_fault_in_a_script() -> None:
    done = run("shellcheck", *SCRIPTS)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_real_kit_installs_offline_twice_and_goes_again(tmp_path: Path) -> None:
    kit, prefix = tmp_path / "kit", tmp_path / "root"
    made = subprocess.run(
        ["make", "--no-print-directory", "kit", f"VENV={tmp_path / 'venv'}", f"KIT={kit}", f"PYTHON={sys.executable}"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert (kit / "audit.txt").read_text() in made.stdout
    assert (kit / "BUNDLE.sha256").read_text().strip() in made.stdout
    check_the_boms(kit)
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "PIP_INDEX_URL": "http://127.0.0.1:1/"}
    for _ in range(2):
        done = run(kit / "install.sh", "--prefix", prefix, env=environment)
        assert done.returncode == 0, done.stderr
    check_the_installation(prefix)
    assert run(kit / "uninstall.sh", "--prefix", prefix).returncode == 0
    assert not [path for path in prefix.rglob("*") if not path.is_dir()]


def check_the_boms(kit: Path) -> None:
    """Each bill of materials names the packages of its requirements, and only the node's names Flower."""
    names: dict[str, set[str]] = {}
    for account in ("custodian", "node"):
        listed = {line.split("==")[0] for line in (kit / f"{account}.txt").read_text().splitlines()}
        bom = json.loads((kit / f"{account}.cdx.json").read_text())
        names[account] = {component["name"] for component in bom["components"]}
        assert bom["bomFormat"] == "CycloneDX"
        assert names[account] == listed
    assert "flwr" in names["node"] - names["custodian"]


def check_the_installation(prefix: Path) -> None:
    """Both programs start from it, and nobody but its owner can change a file of it."""
    opt = prefix / "opt" / "fedcredit"
    assert run(opt / "custodian" / "bin" / "fedcredit", "version").stdout.strip()
    assert "serve" in run(opt / "node" / "bin" / "python", "-P", "-m", "clients", "--help").stdout
    assert run(opt / "custodian" / "bin" / "python", "-c", "import flwr").returncode != 0
    assert (prefix / "usr" / "local" / "bin" / "fedcredit").readlink() == Path("/opt/fedcredit/custodian/bin/fedcredit")
    modes = [path.lstat().st_mode for path in opt.rglob("*") if not path.is_symlink()]
    assert modes
    assert not [mode for mode in modes if mode & (stat.S_IWGRP | stat.S_IWOTH)]
