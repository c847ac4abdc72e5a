"""The systemd units: systemd finds no fault in them and calls them safe, and what the documents promise is there."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
# systemd's exposure level times ten: 0 is nothing, 100 everything.
LIMITS = {"fedcredit-custodian": 10, "fedcredit-node": 15, "fedcredit-coordinator": 15}


def settings(name: str) -> dict[str, list[str]]:
    """All values of each setting of a unit."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / f"{name}.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def systemd_analyze(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, check=False, timeout=60)


def verified(unit: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """systemd's own check of a unit whose program is replaced by one that is here."""
    program = next(line.split("=", 1)[1].split()[0] for line in unit.read_text().splitlines() if "ExecStart=" in line)
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace(program, "/bin/true"))
    return systemd_analyze("verify", "--man=no", str(copy))


@pytest.mark.system("systemd")
@pytest.mark.parametrize("name", LIMITS)
def test_systemd_finds_no_fault_in_a_unit(name: str, tmp_path: Path) -> None:
    done = verified(UNITS / f"{name}.service", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.system("systemd")
def test_a_misspelt_setting_would_be_found(tmp_path: Path) -> None:
    unit = tmp_path / "source" / "fedcredit-node.service"
    unit.parent.mkdir()
    unit.write_text((UNITS / unit.name).read_text().replace("ProtectHome=", "ProtectHom="))
    assert "ProtectHom" in verified(unit, tmp_path).stderr


@pytest.mark.system("systemd")
@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_systemd_calls_a_unit_safe(name: str, limit: int, tmp_path: Path) -> None:
    unit = Path(shutil.copy(UNITS / f"{name}.service", tmp_path))
    judged = ["security", "--offline=true", "--no-pager", f"--threshold={limit}"]
    assert systemd_analyze(*judged, str(unit)).returncode == 0
    unit.write_text("\n".join(line for line in unit.read_text().splitlines() if "SystemCallFilter" not in line))
    assert systemd_analyze(*judged, str(unit)).returncode != 0


def test_the_custodian_has_no_network_and_writes_to_the_ledgers_folder_alone() -> None:
    unit = settings("fedcredit-custodian")
    assert unit["PrivateNetwork"] == ["yes"]
    assert unit["IPAddressDeny"] == ["any"]
    assert "IPAddressAllow" not in unit
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ReadWritePaths"] == ["/var/lib/fedcredit"]
    read_only = " ".join(unit["ReadOnlyPaths"])
    assert all(f"/var/lib/fedcredit/{name}" in read_only for name in ("SITE.yaml", "policy.yaml", "keys", "data"))


def test_the_two_programs_of_an_institution_run_as_different_users() -> None:
    custodian, node = settings("fedcredit-custodian"), settings("fedcredit-node")
    assert custodian["User"] != node["User"]
    assert custodian["SupplementaryGroups"] == node["SupplementaryGroups"] == ["fedcredit-relay"]
    assert node["ReadWritePaths"] == ["/var/lib/fedcredit/node-state"]


def test_a_stopped_coordinator_leaves_no_process() -> None:
    assert settings("fedcredit-coordinator")["KillMode"] == ["control-group"]
