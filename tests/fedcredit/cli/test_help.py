"""``--help`` says something of every command, argument and option, and of nothing that does not exist."""

from collections.abc import Iterator

import click
import pytest
from typer.main import get_command

import clients.__main__ as node
import server.__main__ as coordinator
from fedcredit.cli import app


def _below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _below(found, f"{path} {name}")


COMMANDS = {
    path: command
    for name, application in (("fedcredit", app), ("server", coordinator.app), ("clients", node.app))
    for path, command in _below(get_command(application), name)
}


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_says_what_it_does(path):
    assert (COMMANDS[path].help or "").strip()


def test_each_argument_and_option_has_a_sentence_that_reaches_the_reader():
    silent = [
        f"{path}: {one.name}"
        for path, command in COMMANDS.items()
        for one in command.params
        if one.name != "help" and not getattr(one, "help", None)
    ]
    assert not silent


def test_a_switch_has_one_spelling():
    doubled = [f"{path}: {one.secondary_opts}" for path, command in COMMANDS.items() for one in command.params]
    assert not [one for one in doubled if "--no-" in one]
