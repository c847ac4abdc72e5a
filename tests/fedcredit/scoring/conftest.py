"""The command in this process, as in the tests of the command line."""

from tests.fedcredit.cli.conftest import cli

__all__ = ["cli"]
