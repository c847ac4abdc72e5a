"""Commands whose modules are loaded when they are run: a custodian that serves holds no other command's libraries.

A list of commands loads none of them either: what each is for is read in its source.
"""

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import Any

import click
import typer
from typer.core import TyperCommand, TyperGroup
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

        def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            said = {name: TyperCommand(name, help=_help(name, place)) for name, place in commands.items()}
            shown = TyperGroup(
                name=self.name,
                commands={**self.commands, **said},
                params=self.params,
                help=self.help,
                rich_markup_mode=self.rich_markup_mode,
            )
            shown.format_help(ctx, formatter)

    return LazyGroup


def _help(name: str, place: str) -> str | None:
    """What a command says of itself, if it stands there in plain words; else it is loaded and asked."""
    module, _, attribute = place.partition(":")
    spec = find_spec(module)
    source = spec.loader.get_source(module) if spec is not None and isinstance(spec.loader, InspectLoader) else None
    for node in ast.parse(source or "").body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return ast.get_docstring(node)
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == attribute
            and isinstance(node.value, ast.Call)
        ):
            words = [one.value for one in node.value.keywords if one.arg == "help"]
            if words and isinstance(words[0], ast.Constant):
                return str(words[0].value)
    return _loaded(name, place).help


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _loaded(name: str, place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    found: Any = getattr(import_module(module), attribute)
    outer = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        outer.add_typer(found, name=name)
        return get_group(outer).commands[name]
    outer.command(name)(found)
    return get_command(outer)
