"""``fedcredit consent``: a person's consent that one peer asks for one number, and the book of what was asked."""

import os
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_messages import TOKEN_BYTES, person_hash, token_hash
from fedcredit.scoring.block_service import answering_of
from fedcredit.scoring.consents import Consent, change_consents
from fedcredit.scoring.peers_file import load_peers

app = typer.Typer(no_args_is_help=True, help="Write down a person's consent to two-institution scoring, or end it.")

_PEERS = typer.Argument(metavar="PEERS", help="PEERS.yaml of this institution.", show_default=False)
_PEER = typer.Option(help="Which peer may ask, as PEERS.yaml names it.")


@app.callback()
def consent() -> None:
    """Consents of persons, by keyed hash; an id is read from standard input, never from the command line."""


@app.command()
def add(
    peers: Annotated[Path, _PEERS],
    *,
    peer: Annotated[str, _PEER],
    purpose: Annotated[str, typer.Option(help="What the number is for, as agreed with the peer.")],
    until: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day.")],
) -> None:
    """Record the consent of the person whose id stands on standard input; prints the token, once."""
    file = load_peers(peers)
    entry, path = file.peer(peer), answering_of(file).consents
    if purpose not in entry.purposes:
        raise ConfigError(f"purpose {purpose!r:.80} is not agreed with {peer}; it may be: {'; '.join(entry.purposes)}.")
    person = person_hash(load_pair_key(entry.pair_key), _id()).hex()
    token = os.urandom(TOKEN_BYTES)
    given = Consent(person, peer, purpose, _day(until), token_hash(token))

    def added(known: list[Consent]) -> list[Consent]:
        return [*(one for one in known if (one.person, one.peer, one.purpose) != (person, peer, purpose)), given]

    change_consents(path, added)
    typer.echo(token.hex())


@app.command()
def withdraw(peers: Annotated[Path, _PEERS], *, peer: Annotated[str, _PEER]) -> None:
    """End all consents towards a peer of the person whose id stands on standard input, with the next question."""
    file = load_peers(peers)
    path = answering_of(file).consents
    person = person_hash(load_pair_key(file.peer(peer).pair_key), _id()).hex()
    ended = 0

    def without(known: list[Consent]) -> list[Consent]:
        nonlocal ended
        kept = [one for one in known if (one.person, one.peer) != (person, peer)]
        ended = len(known) - len(kept)
        return kept

    change_consents(path, without)
    typer.echo(f"{ended} consents ended")


@app.command()
def verify(
    peers: Annotated[Path, _PEERS],
    *,
    head: Annotated[
        str | None, typer.Option(help="Hash that this command printed earlier.", show_default=False)
    ] = None,
) -> None:
    """Check the book of questions between institutions, asked or answered, and print its newest hash."""
    path = load_peers(peers).audit
    if not path.is_file():
        raise ConfigError(f"audit book {path} does not exist; it begins with the first question.")
    with BlockAudit(path) as book:
        if head is not None and not book.holds(head):
            raise ConfigError(
                f"audit book {path} has no row {head:.80}: it was cut back or written anew, or is another."
            )
        typer.echo(f"{book.end.number} rows, all hold; newest {book.end.hash or 'none yet'}")
    typer.echo("write the newest hash down elsewhere: with --head it shows that nothing was cut off or rewritten later")


def _id() -> bytes:
    person = sys.stdin.readline().strip().encode()
    if not person:
        raise ConfigError("no id on standard input; write the person's id there, as the table has it.")
    return person


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r:.40} is no day; write YYYY-MM-DD.") from None
