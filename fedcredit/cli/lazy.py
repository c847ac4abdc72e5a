"""Commands whose modules are loaded when they are run: a custodian that serves holds no other command's libraries."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


def lazily(commands: Mapping[str, str]) -> type[TyperGroup]:
    """A group for ``typer.Typer(cls=…)`` with further commands.

    Parameters
    ----------
    commands
        ``module:name`` of a function, or of a Typer application, by the command's name; its docstring or help is what
        the group's help says.
    """

    class LazyGroup(TyperGroup):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return [*super().list_commands(ctx), *commands]

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            place = commands.get(cmd_name)
            return super().get_command(ctx, cmd_name) if place is None else _loaded(cmd_name, place)

    return LazyGroup


def _loaded(name: str, place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    found: Any = getattr(import_module(module), attribute)
    outer = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        outer.add_typer(found, name=name)
        return get_group(outer).commands[name]
    outer.command(name)(found)
    return get_command(outer)
