"""``fedcredit custodian``: make keys, check a site, serve it."""

import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.noise import no_noise, rounded_gaussian_noise
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.service import CustodianService
from fedcredit.custodian.site import NotPrivate
from fedcredit.custodian.site_file import SiteFile, load_site, load_site_file, site_mapping
from fedcredit.data.sources import open_source
from fedcredit.dictionary.check import check_table
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import CheckError, ConfigError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True)

SiteArgument = Annotated[Path, typer.Argument(help="SITE.yaml of the institution.", show_default=False)]


@app.command()
def keygen(folder: Annotated[Path, typer.Argument(help="Folder for identity.pem and data.key.")]) -> None:
    """Create the institution's identity key and data key; existing files are never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    identity, data = folder / "identity.pem", folder / "data.key"
    if identity.exists() or data.exists():
        raise ConfigError(f"{folder} holds keys already; they are never overwritten.")
    key = SigningKey.generate()
    key.save(identity)
    data.touch(mode=0o600)
    data.write_text(os.urandom(32).hex() + "\n", encoding="ascii")
    typer.echo(f"public key for the roster: {key.public.hex()}")


@app.command()
def check(site: SiteArgument) -> None:
    """Check the site's files and every declared column; all problems are listed on this console only."""
    file = load_site_file(site)
    dictionary = load_dictionary(file.dictionary)
    unit, cap = _unit(file)
    problems = check_table(
        dictionary, file.kind, site_mapping(file, dictionary), open_source(file.data), unit=unit, cap=cap
    )
    if problems:
        raise CheckError(problems)
    typer.echo(f"{file.institution}: no problem found")


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
    with ExitStack() as stack:
        custodians = [_build(file, stack, accept_not_private=accept_not_private) for file in files]
        service = CustodianService({one.institution: one for one in custodians}, files[0].socket)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        service.start()
        typer.echo(f"serving {', '.join(one.institution for one in custodians)} on {files[0].socket}")
        service.wait()


def _build(file: SiteFile, stack: ExitStack, *, accept_not_private: bool) -> Custodian:
    if file.not_private is not None and not accept_not_private:
        raise ConfigError(
            f"{file.institution} declares its data {file.not_private.declared} and has no policy; "
            "add --accept-not-private to serve it without any privacy, or give it a policy."
        )
    site = load_site(file)
    ledger = stack.enter_context(Ledger.open(file.ledger, site.key))
    unprotected = isinstance(site.policy, NotPrivate) and ledger.account.accountant.mode == "not_private"
    return Custodian(site, ledger, noise_law=no_noise if unprotected else rounded_gaussian_noise)


def _unit(file: SiteFile) -> tuple[str, int]:
    if file.policy is None:
        return "record", 1
    policy = load_policy(file.policy)
    return policy.unit.value, policy.max_records_per_person
