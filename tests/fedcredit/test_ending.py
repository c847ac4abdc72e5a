"""A command that fails ends in one sentence with a remedy, whatever the system said."""

import errno
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import clients.__main__ as node
import server.__main__ as coordinator
from fedcredit.cli import main
from fedcredit.ending import _EXTRA_OF, run
from fedcredit.errors import CheckError, ConfigError

ROOT = Path(__file__).resolve().parents[2]


def _fail(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("x is wrong; mend it."), "error: x is wrong; mend it.\n"),
        (CheckError(["one.", "two."]), "problem: one.\nproblem: two.\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out"), "the disk is full; make room"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "n"), "n cannot be used (File name too long)"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "kept"), "kept cannot be read or written; check its"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "a file or the standard output cannot be used (Input/output"),
    ],
    ids=["config", "check", "full", "name", "permission", "no file"],
)
def test_each_kind_of_error_is_said_with_a_remedy(capsys, error, said):
    with pytest.raises(SystemExit) as stop:
        run(_fail(error))
    assert stop.value.code == 1
    done = capsys.readouterr()
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_defect_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)
    with pytest.raises(ModuleNotFoundError):
        run(_fail(ModuleNotFoundError(name="fedcredit.of_no_extra")))


def test_a_missing_extra_is_named(capsys):
    with pytest.raises(SystemExit):
        run(_fail(ModuleNotFoundError(name="torch.nn")))
    said = capsys.readouterr().err
    assert said == "error: this needs torch, which is not installed; run: pip install 'fedcredit[neural]'\n"


def test_each_extra_that_is_named_exists_and_brings_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {"sklearn": "scikit-learn", "hydra": "hydra-core", "ray": r"flwr\[simulation\]"}
    for package, extra in _EXTRA_OF.items():
        distribution = names.get(package, package)
        assert any(re.match(distribution + r"\b|" + distribution + "=", one) for one in extras[extra]), package


@pytest.mark.parametrize(
    ("main", "words"),
    [(main, ("custodian", "check")), (coordinator.main, ("check",)), (node.main, ("serve",))],
    ids=["fedcredit", "server", "clients"],
)
def test_a_name_that_is_too_long_is_one_sentence_in_each_command_line(main, words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", *words, "n" * 300])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_full_disk_behind_the_standard_output_is_said():
    command = [sys.executable, "-c", "from fedcredit.cli import main; main()", "version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: a file or the standard output cannot be written, because the disk is full; make room, and run the "
        "command again.\n"
    )


@pytest.mark.parametrize("place", ["simulations.command", "fedcredit.cli"])
def test_who_has_read_enough_ends_a_command_without_a_word(place):
    """As `head` does: the pipe is closed before anything is written."""
    command = [sys.executable, "-c", f"from {place} import main; main()", "--help"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
