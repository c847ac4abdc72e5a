"""The command as a whole: what it prints, and how it ends."""

import pytest

from fedcredit import __version__


def test_version(cli):
    ran = cli("version")
    assert (ran.code, ran.out, ran.err) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("custodian",), ("ledger",), ("dictionary",), ("roster",)])
def test_without_a_command_it_helps(cli, arguments):
    ran = cli(*arguments)
    assert "Usage" in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("custodian", "serve"), ("ledger", "open", "a", "b")])
def test_wrong_usage_is_exit_code_2(cli, arguments):
    ran = cli(*arguments)
    assert ran.code == 2
    assert "Usage" in ran.err


def test_an_error_is_one_sentence_and_exit_code_1_in_a_process_of_its_own(spawn, folder):
    process = spawn("custodian", "serve", folder / "none.yaml")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("error: site file ")
    assert err.count("\n") == 1
