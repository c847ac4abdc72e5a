"""Commands that are loaded when they are run."""

import subprocess
import sys

import pytest

from fedcredit.cli import COMMANDS
from fedcredit.cli.custodian import COMMANDS as OF_CUSTODIAN


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), *(("custodian", name) for name in OF_CUSTODIAN)])
def test_each_is_there_and_says_what_it_does(cli, command):
    ran = cli(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert command[-1] in ran.out
    assert "completion" not in ran.out


def test_the_list_says_what_each_is_for(cli):
    ran = cli("--help")
    assert (ran.code, ran.err) == (0, "")
    rows = [line.strip("│ \n").split(None, 1) for line in ran.out.splitlines() if line.startswith("│")]
    said = {row[0]: row[1] for row in rows if len(row) == 2}
    assert {*COMMANDS, "version"} <= set(said)


def test_one_command_loads_no_other():
    """In a process of its own: this one has loaded them all."""
    code = "import sys, fedcredit.cli; print(sorted(name for name in sys.modules if name.startswith('fedcredit.cli.')))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "['fedcredit.cli.lazy']"
