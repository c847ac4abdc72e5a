"""``fedcredit custodian``: make keys, check a site, serve it."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import typer

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import no_noise, rounded_gaussian_noise
from fedcredit.custodian.service import CustodianService
from fedcredit.custodian.site import NotPrivate
from fedcredit.custodian.site_check import examine_site
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file
from fedcredit.errors import CheckError, ConfigError, LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True)

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]
_STOP = (signal.SIGTERM, signal.SIGINT)


@app.command()
def keygen(folder: Annotated[Path, typer.Argument(help="Folder for identity.pem and data.key.")]) -> None:
    """Create the institution's identity key and data key; existing files are never overwritten."""
    identity, data = folder / "identity.pem", folder / "data.key"
    if identity.exists() or data.exists():
        raise ConfigError(f"{folder} holds keys already, which are never overwritten; choose another folder.")
    key = SigningKey.generate()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.save(identity)
        data.touch(mode=0o600, exist_ok=False)
        data.write_text(os.urandom(32).hex() + "\n", encoding="ascii")
    except OSError as error:
        raise ConfigError(f"keys cannot be written to {folder} ({error.strerror}); choose another folder.") from error
    typer.echo(f"wrote {identity} and {data}; back them up, and never send them")
    typer.echo(f"public key for the roster: {key.public.hex()}")


@app.command()
def check(site: SiteArgument) -> None:
    """Check the site's files and every declared column; all problems are listed on this console only."""
    file = load_site_file(site)
    findings = examine_site(file)
    for note in findings.notes:
        typer.echo(f"note: {note}")
    if findings.problems:
        raise CheckError(findings.problems)
    typer.echo(f"{file.institution} ({file.kind}): {findings.n_columns} declared columns read, no problem found")
    typer.echo("What this check says stays on this console; nothing was sent.")


@app.command()
def serve(
    sites: Annotated[
        list[Path],
        typer.Argument(help="SITE.yaml; several only for data declared public.", show_default=False),
    ],
    accept_not_private: Annotated[
        bool,
        typer.Option("--accept-not-private", help="Serve data declared public or synthetic without privacy."),
    ] = False,
) -> None:
    """Serve the custodian on its Unix socket until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    files = [load_site_file(path) for path in sites]
    _require_shareable(files)
    with ExitStack() as stack:
        custodians = {file.institution: _build(file, stack, accept_not_private=accept_not_private) for file in files}
        wait = stack.enter_context(_stop_signals())
        stack.enter_context(CustodianService(custodians, files[0].socket))
        typer.echo(f"serving {', '.join(custodians)} on {files[0].socket}")
        wait()
    typer.echo("stopped")


@contextmanager
def _stop_signals() -> Iterator[Callable[[], object]]:
    """Catch SIGTERM and SIGINT; what is yielded waits for the first of them, even if it came before."""
    heard: SimpleQueue[int] = SimpleQueue()  # its put is safe inside a signal handler
    before = {number: signal.signal(number, lambda number, _: heard.put(number)) for number in _STOP}
    try:
        yield heard.get
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_shareable(files: list[SiteFile]) -> None:
    if len(files) == 1:
        return
    private = [file.institution for file in files if file.not_private is None]
    if private:
        raise ConfigError(f"{private[0]} has a policy and gets a process of its own; serve its SITE.yaml alone.")
    if len({file.institution for file in files}) < len(files) or len({file.socket for file in files}) > 1:
        raise ConfigError("sites that share a process need different institutions and one socket; correct them.")


def _build(file: SiteFile, stack: ExitStack, *, accept_not_private: bool) -> Custodian:
    if file.not_private is not None and not accept_not_private:
        raise ConfigError(
            f"{file.institution} declares its data {file.not_private.declared} and has no policy; "
            "add --accept-not-private to serve it without any privacy, or give it a policy."
        )
    site = load_site(file)
    ledger = stack.enter_context(Ledger.open(file.ledger, site.key, file.ledger_counter))
    if ledger.account.population != file.population:
        raise LedgerError(
            f"ledger {file.ledger} is for population {ledger.account.population!r}, SITE.yaml for {file.population!r}; "
            "correct SITE.yaml, or open a ledger of its own."
        )
    ledger.check_units(site.data.units)  # here, so that no coordinator learns it from a refusal
    unprotected = isinstance(site.policy, NotPrivate) and ledger.account.accountant.mode == "not_private"
    custodian = Custodian(site, ledger, noise_law=no_noise if unprotected else rounded_gaussian_noise)
    stack.callback(custodian.stopped)
    return custodian
