"""``fedcredit model check``: the hash, the number of weights, and the verdict of every custodian."""

import pytest
import yaml
from typer.testing import CliRunner

from fedcredit.cli import app
from fedcredit.errors import ConfigError
from tests import own_module

pytestmark = pytest.mark.neural


def run(*arguments):
    return CliRunner().invoke(app, ["model", "check", *arguments])


def test_a_sound_module_is_accepted_with_the_line_for_the_site():
    path = f"{own_module.PATH}:ResidualNet"
    done = run(path, "--argument", "width=3", "--inputs", "7")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0] == f"sha256: {own_module.source_sha256()}"
    assert lines[1] == f"weights: {(7 * 3 + 3) + (3 + 3) + 2 * (3 * 3 + 3) + (3 + 1)} for 7 inputs"
    assert lines[2] == "accepted"
    assert yaml.safe_load(lines[-1]) == {"modules": {path: own_module.source_sha256()}}


def test_a_refusal_says_why_and_has_an_exit_code():
    done = run(f"{own_module.PATH}:Batch")
    assert done.exit_code == 1
    assert f"sha256: {own_module.source_sha256()}" in done.stdout
    assert "refused: layer 'layers.1' (BatchNorm1d)" in done.stderr
    assert "accepted" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere:Net"], "no file for nowhere"),
        (["nowhere"], "nowhere"),
        ([f"{own_module.PATH}:ResidualNet", "--argument", "width"], "write NAME=VALUE"),
        ([f"{own_module.PATH}:ResidualNet", "--argument", "width=[1]"], "width"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(arguments, words):
    done = run(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)
