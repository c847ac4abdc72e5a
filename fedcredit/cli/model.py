"""``fedcredit model``: pack, show and export a released model; see whether a torch module can be trained."""

from importlib import import_module
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from fedcredit.cli.lazy import lazily
from fedcredit.errors import ConfigError
from fedcredit.models.module_source import read_source, require_neural
from fedcredit.models.module_spec import ModuleSpec

# Packages need Arrow; a custodian's command line loads none.
COMMANDS = {
    name: f"fedcredit.cli.model_package:{attribute}"
    for name, attribute in (("pack", "pack"), ("show", "show"), ("export", "export"))
}

app = typer.Typer(
    cls=lazily(COMMANDS),
    no_args_is_help=True,
    help="Pack, show and export a released model, or check a torch module before it may run here.",
)


@app.callback()
def model() -> None:
    """Look at a released model, or at model code before it may run."""


@app.command()
def check(
    module: Annotated[str, typer.Argument(metavar="MODULE", help="package.module:ClassName, on Python's path.")],
    *,
    argument: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the constructor.")] = None,
    inputs: Annotated[int, typer.Option(min=1, help="Features plus institution types of the dictionary.")] = 25,
) -> None:
    """Run the checks that every custodian runs; this runs the file's code, so read it first."""
    spec = _spec(module, argument or [])
    typer.echo(f"sha256: {spec.source_sha256}")
    require_neural()
    try:
        # Only here, since a custodian's command line loads no torch.
        sizes = import_module("fedcredit.models.module_loading").network_of(spec, inputs).sizes
    except ConfigError as error:
        typer.echo(f"refused: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"weights: {sum(sizes)} for {inputs} inputs")
    typer.echo("accepted")
    typer.echo("Once it is reviewed, an institution allows it by this line in SITE.yaml:")
    typer.echo(f'modules: {{"{module}": "{spec.source_sha256}"}}')


def _spec(module: str, pairs: list[str]) -> ModuleSpec:
    arguments = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--argument {pair!r} has no value; write NAME=VALUE.")
        arguments[name] = yaml.safe_load(value)
    try:
        # The path is checked before anything is looked for under it.
        named = ModuleSpec(module=module, source_sha256="0" * 64, arguments=arguments)
    except ValidationError as error:
        raise ConfigError(f"{module} with {arguments}: {error.errors()[0]['msg']}; correct it.") from error
    return named.model_copy(update={"source_sha256": read_source(module).sha256})
