"""``fedcredit custodian``: make keys and a token, and serve a site; its check and its view are loaded when run."""

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.lazy import lazily
from fedcredit.cli.reading import shown
from fedcredit.cli.serving import LogFormat, log_to_stderr, say, stop_signals
from fedcredit.custodian.address import LOOPBACK
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.data_process import read_apart
from fedcredit.custodian.door import door_of
from fedcredit.custodian.metrics import Metrics, Source
from fedcredit.custodian.metrics_port import served
from fedcredit.custodian.noise import no_noise, rounded_gaussian_noise
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.relay_token import make_relay_token
from fedcredit.custodian.service import CustodianService
from fedcredit.custodian.site import NotPrivate
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.linked.in_use import require_usable
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning.new_files import SECRET, NewFile, write_new
from fedcredit.wire.envelope import SigningKey

COMMANDS = {
    "check": "fedcredit.cli.custodian_check:check",
    "watch": "fedcredit.cli.custodian_watch:watch",
}

app = typer.Typer(cls=lazily(COMMANDS), no_args_is_help=True, help="Serve and check this institution's custodian.")


@app.command()
def keygen(folder: Annotated[Path, typer.Argument(help="Folder for identity.pem and data.key.")]) -> None:
    """Create the institution's identity key and data key; existing files are never overwritten."""
    identity, data = folder / "identity.pem", folder / "data.key"
    if identity.exists() or data.exists():
        raise ConfigError(f"{folder} holds keys already, which are never overwritten; choose another folder.")
    key = SigningKey.generate()
    drawn = {identity.name: key.to_pem(), data.name: f"{os.urandom(32).hex()}\n".encode()}
    write_new(folder, {name: NewFile(content, SECRET) for name, content in drawn.items()})
    typer.echo(f"wrote {identity} and {data}; back them up, and never send them")
    typer.echo(f"public key for the roster: {key.public.hex()}")


@app.command()
def token(file: Annotated[Path, typer.Argument(help="The file to write; relay_token of SITE.yaml.")]) -> None:
    """Create the token that the relay shows; the node's account reads the same file, by its group."""
    make_relay_token(file)
    typer.echo(f"wrote {file}, mode 0600; SITE.yaml and NODE.yaml name it as relay_token")
    typer.echo(f"let the node's account read it by a group of both: chgrp GROUP {file} && chmod 640 {file}")


@app.command()
def serve(
    sites: Annotated[
        list[Path],
        typer.Argument(help="SITE.yaml; several only for data declared public.", show_default=False),
    ],
    *,
    accept_not_private: Annotated[
        bool,
        typer.Option("--accept-not-private", help="Serve data declared public or synthetic without privacy."),
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log on standard error.")] = LogFormat.TEXT,
) -> None:
    """Serve the custodian on its socket, and its loopback port if it has one, until SIGTERM or Ctrl-C."""
    log_to_stderr(log_format)
    files = [load_site_file(path) for path in sites]
    _require_shareable(files)
    for file in (file for file in files if file.cells_on_disk):
        words = f"{file.institution}: a part at a time, the cells to disk; ten million records take minutes"
        say(log_format, "reading", {"institution": file.institution}, words)
    door = door_of(files[0])
    with ExitStack() as stack:
        built = {
            file.institution: _build(file, stack, log_format, accept_not_private=accept_not_private) for file in files
        }
        wait = stack.enter_context(stop_signals())
        metrics = _metrics(files[0].metrics_port, {name: source for name, (_, source) in built.items()}, stack)
        custodians = {name: custodian for name, (custodian, _) in built.items()}
        stack.enter_context(CustodianService(custodians, door, metrics))
        where = str(door.socket) if door.port is None else f"{door.socket} and {LOOPBACK}:{door.port}"
        say(
            log_format,
            "serving",
            {"institutions": list(custodians), "address": where},
            f"{', '.join(custodians)} on {where}",
        )
        wait()
    say(log_format, "stopped", {}, "")


def _metrics(port: int | None, sources: dict[str, Source], stack: ExitStack) -> Metrics | None:
    if port is None:
        return None
    metrics = Metrics(sources)
    stack.enter_context(served(metrics, port))
    return metrics


def _require_shareable(files: list[SiteFile]) -> None:
    if len(files) == 1:
        return
    private = [file.institution for file in files if file.not_private is None]
    if private:
        raise ConfigError(f"{private[0]} has a policy and gets a process of its own; serve its SITE.yaml alone.")
    doors = {(file.socket, file.socket_group, file.loopback_port, file.relay_token) for file in files}
    if len({file.institution for file in files}) < len(files) or len(doors) > 1:
        raise ConfigError("sites that share a process need different institutions and one socket; correct them.")


def _build(
    file: SiteFile, stack: ExitStack, log_format: LogFormat, *, accept_not_private: bool
) -> tuple[Custodian, Source]:
    if file.not_private is not None and not accept_not_private:
        raise ConfigError(
            f"{file.institution} declares its data {file.not_private.declared} and has no policy; "
            "add --accept-not-private to serve it without any privacy, or give it a policy."
        )
    with shown(log_format, file.institution) as on_reading:
        site = load_site(file, lambda order: read_apart(order, on_reading))
    ledger = stack.enter_context(Ledger.open(file.ledger, site.key, file.ledger_counter))
    if ledger.account.population != file.population:
        raise LedgerError(
            f"ledger {file.ledger} is for population {ledger.account.population!r}, SITE.yaml for {file.population!r}; "
            "correct SITE.yaml, or open a ledger of its own."
        )
    ledger.check_units(site.data.units)  # here, so that no coordinator learns it from a refusal
    if isinstance(site.policy, Policy):
        require_usable(site.dictionary, file.data, file.ledger, ledger, site.key.public, datetime.now(UTC).date())
    unprotected = isinstance(site.policy, NotPrivate) and ledger.account.accountant.mode == "not_private"
    custodian = Custodian(site, ledger, noise_law=no_noise if unprotected else rounded_gaussian_noise)
    stack.callback(custodian.stopped)
    return custodian, Source(ledger, site.kind, site.policy if isinstance(site.policy, Policy) else None)
