"""``fedcredit models``: the registry of models: who let which into use, what suspends it, and what was measured since.

Every change is an entry that a person signs with their own key; see docs/lifecycle.md.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from fedcredit.cli import models_monitoring
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.printable import printable
from fedcredit.provisioning.new_files import write_file
from fedcredit.registry.artifact import read_artifact
from fedcredit.registry.registry import LOWEST_TIER, Model, Move, fold, model_called, models_of, record
from fedcredit.registry.registry_file import load_registry_file
from fedcredit.registry.states import State
from fedcredit.registry.storage import read_entries
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True, help="The registry of models: approve, suspend, watch and compare them.")
app.command()(models_monitoring.compare)
app.command()(models_monitoring.watch)
app.command()(models_monitoring.monitor)

RegistryArgument = Annotated[Path, typer.Argument(metavar="REGISTRY", help="REGISTRY.yaml.", show_default=False)]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Its name in the registry.", show_default=False)]
KeyOption = Annotated[Path, typer.Option(help="Your own signing key (PEM).", show_default=False)]
ReasonOption = Annotated[str, typer.Option(help="Why, in a sentence that stays in the registry.", show_default=False)]
_TIER_HELP = f"From 1, on which most depends, to {LOWEST_TIER}, as your model-risk policy defines them."
PathOption = Annotated[Path | None, typer.Option(help="Where the model lies now, if it was moved.", show_default=False)]


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="KEY", help="The new key's file.", show_default=False)],
) -> None:
    """Make your own signing key and print its public half for REGISTRY.yaml."""
    key = SigningKey.generate()
    write_file(file, key.to_pem(), secret=True)
    typer.echo(f"public key {key.public.hex()}")


@app.command()
def add(
    registry: RegistryArgument,
    model: ModelArgument,
    path: Annotated[Path, typer.Argument(help="A model package, or the folder of a finished run.")],
    *,
    key: KeyOption,
    reason: ReasonOption,
    owner: Annotated[str | None, typer.Option(help="Who answers for its use.", show_default=False)] = None,
    tier: Annotated[int | None, typer.Option(min=1, max=LOWEST_TIER, help=_TIER_HELP, show_default=False)] = None,
) -> None:
    """Enter a model as a draft, by the hash of its bytes (role developer)."""
    said = None if owner is None else _name(owner, "an owner")
    _move(registry, key, Move(_name(model, "a model"), State.DRAFT, reason, owner=said, tier=tier), path)


@app.command()
def sandbox(
    registry: RegistryArgument, model: ModelArgument, *, key: KeyOption, reason: ReasonOption, path: PathOption = None
) -> None:
    """Let a draft into the sandbox (role validator, and not its developer)."""
    _move(registry, key, Move(model, State.SANDBOX, reason), path)


@app.command()
def approve(
    registry: RegistryArgument, model: ModelArgument, *, key: KeyOption, reason: ReasonOption, path: PathOption = None
) -> None:
    """Approve a model in the sandbox, or a suspended one again (role approver, and not its developer)."""
    _move(registry, key, Move(model, State.APPROVED, reason), path)


@app.command()
def suspend(registry: RegistryArgument, model: ModelArgument, *, key: KeyOption, reason: ReasonOption) -> None:
    """Take a model out of use for now (anybody in the registry)."""
    _move(registry, key, Move(model, State.SUSPENDED, reason))


@app.command()
def retire(registry: RegistryArgument, model: ModelArgument, *, key: KeyOption, reason: ReasonOption) -> None:
    """Take a model out of use for good (role approver)."""
    _move(registry, key, Move(model, State.RETIRED, reason))


@app.command("list")
def list_models(
    registry: RegistryArgument, *, as_json: Annotated[bool, typer.Option("--json", help="For a machine.")] = False
) -> None:
    """All models with their state, and who said so last."""
    models = models_of(load_registry_file(registry)).values()
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in models], indent=1))
        return
    table = Table(Column("model", no_wrap=True), "state", "since", "by", "owner", "tier", "sha256", box=None)
    for one in models:
        last = one.history[-1]
        said = (escape(printable(one.owner or "-")), str(one.tier or "-"), one.sha256[:16])
        name, state = escape(printable(one.name)), one.standing.state.value
        table.add_row(name, state, str(last["at"])[:19].replace("T", " "), escape(last["by"]), *said)
    Console().print(table)


@app.command()
def show(
    registry: RegistryArgument,
    model: ModelArgument,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For a machine.")] = False,
) -> None:
    """One model: its bytes, where it came from, and every entry about it."""
    found = model_called(load_registry_file(registry), model)
    typer.echo(json.dumps(_as_json(found), indent=1) if as_json else "\n".join(map(printable, _in_words(found))))


@app.command()
def verify(
    registry: RegistryArgument,
    *,
    head: Annotated[
        str | None, typer.Option(help="Hash of an entry that you wrote down earlier.", show_default=False)
    ] = None,
) -> None:
    """Check every entry's chain, signature and signer, and that the bytes of models in use are unchanged."""
    file = load_registry_file(registry)
    entries = read_entries(file.registry)
    models = fold(file, entries)
    if head is not None and head not in {entry.hash.hex() for entry in entries}:
        raise LedgerError(f"registry {file.registry} has no entry {head}: it was cut back, or is another one.")
    for one in models.values():
        if one.standing.state in (State.SANDBOX, State.APPROVED):
            _require_there(one)
    last = entries[-1].hash.hex() if entries else "none yet"
    typer.echo(f"{len(entries)} entries about {len(models)} models, all hold; newest {last}")
    typer.echo("write the newest hash down elsewhere: with --head it shows that nothing was cut off later")


def _move(registry: Path, key: Path, move: Move, path: Path | None = None) -> None:
    if not move.reason.strip():
        raise ConfigError("a reason is empty; say in a sentence why.")
    model = record(load_registry_file(registry), SigningKey.load(key), move, datetime.now(UTC), path)
    typer.echo(f"{model.name} is {model.standing.state.value} now")


def _name(name: str, what: str) -> str:
    if not name or not name.isprintable() or len(name) > 100:
        raise ConfigError(f"{name!r} is no name for {what}; use up to 100 printable characters.")
    return name


def _require_there(model: Model) -> None:
    found = read_artifact(Path(model.path))
    if not found.is_what(model.sha256, model.lineage):
        raise LedgerError(
            f"{model.path} is not what was added as {model.name}: sha256 {found.sha256}, not {model.sha256}."
        )


def _as_json(model: Model) -> dict[str, object]:
    standing = model.standing
    return {
        "model": model.name,
        "state": standing.state.value,
        "developer": standing.developer,
        "validator": standing.validator,
        "owner": model.owner,
        "tier": model.tier,
        "path": model.path,
        "sha256": model.sha256,
        "lineage": model.lineage,
        "history": list(model.history),
    }


def _in_words(model: Model) -> Iterator[str]:
    yield f"{model.name}: {model.standing.state.value}"
    if model.owner is not None:
        yield f"  owner: {model.owner}"
    if model.tier is not None:
        yield f"  tier: {model.tier}"
    yield f"  bytes: {model.path}, sha256 {model.sha256}"
    for name, value in model.lineage.items():
        yield f"  {name}: {value}"
    for entry in model.history:
        yield f"  {entry['number']:>4}  {str(entry['at'])[:19]}  {entry['by']}: {entry['to']}. {entry['reason']}"
