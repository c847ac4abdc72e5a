"""What is checked before the coordinator serves: each bad input is one row with its remedy, the others stay right."""

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fedcredit.roster_file import SignedRoster, write_roster_file
from server import checks as module
from server.certificate_check import certificate_problems, expires_soon
from server.checks import run_checks
from server.coordinator_file import CoordinatorFile, load_coordinator_file
from server.new_job import compose, write_job
from server.plan_file import load_plan_file
from server.queue import Queue
from server.supervisor import alone
from tests.certificates import Authority, authority
from tests.coordinators import members, write_coordinator, write_plan
from tests.rosters import roster, signed

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def file(tmp_path: Path) -> CoordinatorFile:
    ports = {"fleet": {"host": "127.0.0.1", "port": free_port()}, "api_port": free_port()}
    return load_coordinator_file(write_coordinator(tmp_path, **ports))


def faults(file: CoordinatorFile) -> dict[str, str]:
    return {row.name: row.fault for row in run_checks(file) if row.fault}


def test_a_right_coordinator_has_no_fault(file: CoordinatorFile) -> None:
    assert faults(file) == {}


def other_roster(file: CoordinatorFile, one: SignedRoster) -> None:
    write_roster_file(file.roster, one)


NAMES = ("bank-1", "bank-2", "hospital-1")
BREAKS: dict[str, tuple[Callable[[CoordinatorFile], object], str, str]] = {
    "roster not signed": (
        lambda file: other_roster(file, SignedRoster(members(*NAMES), {})),
        "roster",
        "is not signed by bank-1, bank-2, hospital-1; each runs: fedcredit institution approve",
    ),
    "roster expired": (
        lambda file: other_roster(file, signed(roster(*NAMES, expires="2020-01-01"))),
        "roster",
        "expired on 2020-01-01 and today is ",
    ),
    "no dictionary": (lambda file: file.dictionary.unlink(), "dictionary", "dictionary.yaml"),
    "no key": (lambda file: file.key.unlink(), "key", "coordinator.pem"),
    "open state folder": (lambda file: file.state.mkdir(mode=0o755), "state folder", "run: chmod 700"),
    "state is a file": (lambda file: file.state.write_text(""), "state folder", "cannot be written"),
    "no certificate": (lambda file: file.certificate.unlink(), "certificate", "server.pem does not exist"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_one_row_with_its_remedy(file: CoordinatorFile, name: str) -> None:
    spoil, row, said = BREAKS[name]
    spoil(file)
    found = faults(file)
    assert said in found[row]
    assert set(found) - {row} <= {"ports"}


@pytest.mark.parametrize("which", ["fleet", "api"])
def test_a_taken_port_is_named(file: CoordinatorFile, which: str) -> None:
    port = file.fleet.port if which == "fleet" else file.api_port
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port} cannot be listened on" in faults(file)["ports"]


def test_ports_that_this_coordinator_has_are_no_fault(file: CoordinatorFile) -> None:
    with alone(file.state), socket.create_server(("127.0.0.1", file.fleet.port)):
        assert faults(file) == {}


def test_another_flower_is_named(file: CoordinatorFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOWER", "1.40")
    assert "run: pip install 'flwr==1.40.*'" in faults(file)["Flower"]


def test_a_full_disk_is_named(file: CoordinatorFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_FREE_BYTES", 10**18)
    assert "make room on it" in faults(file)["state folder"]


def test_another_dictionary_than_an_open_jobs_is_named(file: CoordinatorFile, tmp_path: Path) -> None:
    write_job(file, compose(file, load_plan_file(write_plan(tmp_path))))
    with Queue(file.queue) as queue:
        queue.submit("first")
        text = file.dictionary.read_text()
        file.dictionary.write_text(text.replace("A tiny dictionary", "Another one"))
        assert "first was planned with another dictionary" in faults(file)["dictionary"]
        queue.ask_to_stop("first")
    assert faults(file) == {}


CA = authority()


def problems(folder: Path, issuer: Authority, trusted: Authority, **options: object) -> list[str]:
    certificate, key = issuer.issue(folder, **options)  # type: ignore[arg-type]
    return certificate_problems(certificate, key, trusted.write(folder / "ca.pem"))


def test_a_right_certificate_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, CA, CA) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ends": timedelta(hours=-1)}, "expired on"),
        ({"begins": timedelta(hours=5)}, "is not valid before"),
        ({"names": ()}, "has no subject alternative names"),
    ],
)
def test_a_wrong_certificate_is_named(tmp_path: Path, options: dict[str, object], said: str) -> None:
    (problem,) = problems(tmp_path, CA, CA, **options)
    assert said in problem


def test_another_authority_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, CA, authority("other"))
    assert "refuse" in problem
    assert "give the certificate of the authority that issued it" in problem


def test_another_key_is_named(tmp_path: Path) -> None:
    certificate, _ = CA.issue(tmp_path / "a")
    _, key = CA.issue(tmp_path / "b")
    (problem,) = certificate_problems(certificate, key, CA.write(tmp_path / "ca.pem"))
    assert "is not the key of" in problem


def test_no_pem_is_named(tmp_path: Path) -> None:
    certificate, key = CA.issue(tmp_path)
    certificate.write_text("nonsense")
    (problem,) = certificate_problems(certificate, key, CA.write(tmp_path / "ca.pem"))
    assert "is no PEM certificate" in problem


def test_a_certificate_that_runs_out_is_a_warning(tmp_path: Path) -> None:
    soon, _ = CA.issue(tmp_path / "soon", ends=timedelta(days=5))
    later, _ = CA.issue(tmp_path / "later")
    assert "renew it in time" in str(expires_soon(soon))
    assert expires_soon(later) is None


def test_serve_refuses_and_shows_the_table(tmp_path: Path) -> None:
    path = write_coordinator(tmp_path)
    load_coordinator_file(path).dictionary.unlink()
    for command in ("serve", "check"):
        done = subprocess.run(
            [sys.executable, "-m", "server", command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "fault" in done.stdout
        assert "Traceback" not in done.stderr
