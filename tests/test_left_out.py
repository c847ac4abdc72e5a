"""The rules of conftest.py, on a small project: what is left out is named, and where required it fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MARKERS = "[pytest]\nmarkers =\n    system: needs a system program\n    long: takes long\n"
TESTS = """
import os
import pytest

def test_plain():
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert os.path.isdir(os.environ["FLWR_HOME"])

@pytest.mark.system("fedcredit-absent")
def test_absent():
    pass

@pytest.mark.system("sh")
def test_present():
    pass

@pytest.mark.long
def test_long():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that holds our conftest and one test of each sort."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text(MARKERS)
    (tmp_path / "test_sorts.py").write_text(TESTS)
    return tmp_path


def run_pytest(project: Path, *args: str, **environment: str) -> tuple[int, list[str]]:
    inherited = {name: value for name, value in os.environ.items() if name != "FEDCREDIT_REQUIRE_SYSTEM"}
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--color=no", *args]
    done = subprocess.run(
        command, cwd=project, env=inherited | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_left_out_tests_are_named_with_the_remedy(project: Path, workers: list[str]) -> None:
    code, lines = run_pytest(project, *workers)
    assert code == 0
    assert [line for line in lines if line.startswith("left out")] == [
        "left out: test_sorts.py::test_absent (needs: apt-get install fedcredit-absent)",
        "left out: test_sorts.py::test_long (long: make test-long)",
    ]
    assert ("2 passed" if workers else "2 passed, 2 deselected") in lines[-1]


def test_a_missing_program_fails_where_programs_are_required(project: Path) -> None:
    code, lines = run_pytest(project, FEDCREDIT_REQUIRE_SYSTEM="1")
    assert code == 1
    assert "program missing; run: apt-get install fedcredit-absent" in lines
    assert not [line for line in lines if line.startswith("left out") and "needs" in line]


@pytest.mark.parametrize("option", [["--long"], ["-m", "long"]])
def test_long_tests_run_when_asked_for(project: Path, option: list[str]) -> None:
    code, lines = run_pytest(project, "-v", *option)
    assert code == 0
    assert any(line.startswith("test_sorts.py::test_long PASSED") for line in lines)
