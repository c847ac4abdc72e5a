"""Commands that are loaded when they are run."""

import inspect
import subprocess
import sys

import pytest

import fedcredit.cli as cli_module
from fedcredit.cli import COMMANDS
from fedcredit.cli.custodian import COMMANDS as OF_CUSTODIAN
from fedcredit.cli.dictionary import COMMANDS as OF_DICTIONARY
from fedcredit.cli.lazy import _help, _loaded
from fedcredit.cli.model import COMMANDS as OF_MODEL


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


@pytest.mark.parametrize("commands", [COMMANDS, OF_CUSTODIAN, OF_DICTIONARY, OF_MODEL])
def test_what_the_list_says_is_what_the_command_says(commands):
    for name, place in commands.items():
        said = _help(name, place)
        assert said
        assert said == inspect.cleandoc(_loaded(name, place).help or "")


def test_a_command_from_elsewhere_is_asked_itself(monkeypatch):
    monkeypatch.setattr(cli_module, "elsewhere", lambda: None, raising=False)
    cli_module.elsewhere.__doc__ = "From elsewhere."
    assert _help("elsewhere", "fedcredit.cli:elsewhere") == "From elsewhere."


@pytest.mark.parametrize("word", ["--help", "nonsense"])
def test_a_list_of_commands_loads_none_of_them(word):
    code = (
        "import sys; from fedcredit.cli import main; sys.argv[0] = 'fedcredit'\n"
        "try: main()\n"
        "except SystemExit: print('LOADED', *sorted({'numpy', 'pyarrow', 'grpc', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, word], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "LOADED"


def test_one_command_loads_no_other():
    """In a process of its own: this one has loaded them all."""
    code = "import sys, fedcredit.cli; print(sorted(name for name in sys.modules if name.startswith('fedcredit.cli.')))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "['fedcredit.cli.lazy']"
