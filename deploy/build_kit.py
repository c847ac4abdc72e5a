"""Builds the node kit: what an institution installs, offline and pinned by hash, and what it needs to review it.

``make kit`` runs this in an environment of its own that holds the two tools of `tools.txt`. The versions come from
`constraints.txt`, so that the same clone gives the same kit; ``--upgrade`` takes the newest ones and writes that file
anew. The wheels are those of the Python and the kind of machine that build the kit.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# ruff: noqa: INP001  (a program, not a package)
ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "deploy" / "constraints.txt"
# What each account runs. The custodian's has no Flower; the node's has no drivers of databases.
ACCOUNTS = {"custodian": ("fedcredit[sql]",), "node": ("fedcredit", "flwr==1.41.*")}
SCRIPTS = ("install.sh", "uninstall.sh", "hand-over.sh")
HASH_LIST = "KIT.sha256"


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel of an account's environment."""

    name: str
    version: str
    sha256: str


def build_kit(kit: Path, *, upgrade: bool = False) -> None:
    """Build the kit in an empty folder; what is there is removed first."""
    shutil.rmtree(kit, ignore_errors=True)
    wheelhouse = kit / "wheelhouse"
    wheelhouse.mkdir(parents=True)
    collect_wheels(wheelhouse, [] if upgrade else ["--constraint", str(CONSTRAINTS)])
    pins = {account: resolve(wheelhouse, wanted) for account, wanted in ACCOUNTS.items()}
    if upgrade:
        CONSTRAINTS.write_text(constraints(pins.values()))
    for account, chosen in pins.items():
        (kit / f"{account}.txt").write_text(requirements(chosen))
        write_sbom(kit / f"{account}.txt", kit / f"{account}.cdx.json")
    (kit / "audit.txt").write_text("".join(f"[{account}]\n{audit(chosen)}\n" for account, chosen in pins.items()))
    copy_files(kit)
    (kit / "BUNDLE.sha256").write_text(run(sys.executable, "-m", "server", "bundle"))
    (kit / HASH_LIST).write_text(hash_list(kit))


def collect_wheels(wheelhouse: Path, options: Sequence[str]) -> None:
    """Build our wheel, and download or build those that it needs."""
    pip("wheel", "--no-deps", "--wheel-dir", str(wheelhouse), str(ROOT))
    wanted = sorted({requirement for account in ACCOUNTS.values() for requirement in account})
    pip("wheel", "--find-links", str(wheelhouse), "--wheel-dir", str(wheelhouse), *options, *wanted)


def resolve(wheelhouse: Path, wanted: Sequence[str]) -> list[Pin]:
    """The wheels that an installation from the wheelhouse alone takes, by pip's own report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        offline = ["--no-index", "--find-links", str(wheelhouse)]
        pip("install", "--dry-run", "--ignore-installed", *offline, "--report", str(report), *wanted)
        entries = json.loads(report.read_text())["install"]
    return sorted((pin_of(entry) for entry in entries), key=lambda pin: pin.name)


def pin_of(entry: dict[str, dict[str, dict[str, dict[str, str]]]]) -> Pin:
    """Name, version and hash of an entry of pip's report."""
    metadata, archive = entry["metadata"], entry["download_info"]["archive_info"]
    # Before 23.1, pip wrote the one hash in the older form.
    sha256 = archive["hashes"]["sha256"] if "hashes" in archive else str(archive["hash"]).removeprefix("sha256=")
    return Pin(str(metadata["name"]).lower().replace("_", "-"), str(metadata["version"]), sha256)


def requirements(pins: Sequence[Pin]) -> str:
    """A requirements file that pip accepts with ``--require-hashes``."""
    return "".join(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in pins)


def constraints(environments: Iterable[list[Pin]]) -> str:
    """The versions of everything that is not ours."""
    versions = {pin.name: pin.version for pins in environments for pin in pins if pin.name != "fedcredit"}
    head = "# Versions in the node kit; `make kit ARGS=--upgrade` writes this file.\n"
    return head + "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def write_sbom(requirements_file: Path, sbom: Path) -> None:
    """A CycloneDX bill of materials of what a requirements file installs."""
    options = ["--output-reproducible", "--of", "JSON", "-o", str(sbom)]
    run(sys.executable, "-m", "cyclonedx_py", "requirements", *options, str(requirements_file))


def audit(pins: Sequence[Pin]) -> str:
    """Known vulnerabilities, or one line that says why nobody has looked."""
    foreign = [pin for pin in pins if pin.name != "fedcredit"]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(requirements(foreign))
        options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "15", "-f", "json"]
        command = [sys.executable, "-m", "pip_audit", *options, "-r", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command
    return verdict(done.stdout, done.stderr)


def verdict(report: str, errors: str) -> str:
    """What pip-audit's report comes to. A package that it could not look up is not a package without faults."""
    try:
        found = json.loads(report)["dependencies"]
    except ValueError:
        last = (errors.strip().splitlines() or ["no answer"])[-1]
        return f"audit: not run ({last})"
    unknown = [one["name"] for one in found if "skip_reason" in one]
    if unknown:
        return f"audit: not run (no answer about {len(unknown)} of {len(found)} packages)"
    faults = [f"{one['name']} {one['version']}: {v['id']}" for one in found for v in one["vulns"]]
    return "\n".join(faults or [f"audit: no known vulnerability in {len(found)} packages"])


def copy_files(kit: Path) -> None:
    """Our scripts and units, the node's glue with its templates, and the licence."""
    deploy = ROOT / "deploy"
    for name in SCRIPTS:
        shutil.copy(deploy / name, kit / name)
    shutil.copytree(deploy / "systemd", kit / "systemd")
    shutil.copytree(deploy / "firewall", kit / "firewall")
    shutil.copytree(ROOT / "clients", kit / "clients", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, kit / name)


def hash_list(kit: Path) -> str:
    """Every file's hash, as ``sha256sum -c`` reads it."""
    files = sorted(path for path in kit.rglob("*") if path.is_file() and path.name != HASH_LIST)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(kit)}\n" for path in files)


def pip(*args: str) -> None:
    """Run this environment's pip."""
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *args)


def run(*command: str) -> str:
    """Run a program in the clone; its output."""
    done = subprocess.run(  # noqa: S603  our own commands
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:5])} … failed with exit code {done.returncode}; its message stands above")
    return done.stdout


def main() -> None:
    """Build the kit and print what a person should read."""
    parser = argparse.ArgumentParser(description="Build the node kit.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions and write constraints.txt")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "kit", help="the kit's folder")
    given = parser.parse_args()
    build_kit(given.output.resolve(), upgrade=given.upgrade)
    size = sum(path.stat().st_size for path in given.output.rglob("*") if path.is_file())
    print((given.output / "audit.txt").read_text(), end="")
    print(f"app bundle {(given.output / 'BUNDLE.sha256').read_text().strip()}")
    print(f"kit {given.output}, {size / 2**20:.0f} MiB")
    print(f"{HASH_LIST} {hashlib.sha256((given.output / HASH_LIST).read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
