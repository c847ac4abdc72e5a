"""``fedcredit consent``: a person's consent that one peer asks for one number; given and withdrawn by the person."""

import os
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key
from fedcredit.scoring.block_messages import TOKEN_BYTES, person_hash, token_hash
from fedcredit.scoring.block_service import answering_of
from fedcredit.scoring.consents import Consent, read_consents, write_consents
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
    known = read_consents(path) if path.exists() else []
    token = os.urandom(TOKEN_BYTES)
    kept = [one for one in known if (one.person, one.peer, one.purpose) != (person, peer, purpose)]
    write_consents(path, [*kept, Consent(person, peer, purpose, _day(until), token_hash(token))])
    typer.echo(token.hex())


@app.command()
def withdraw(peers: Annotated[Path, _PEERS], *, peer: Annotated[str, _PEER]) -> None:
    """End all consents towards a peer of the person whose id stands on standard input, with the next question."""
    file = load_peers(peers)
    path = answering_of(file).consents
    person = person_hash(load_pair_key(file.peer(peer).pair_key), _id()).hex()
    known = read_consents(path)
    kept = [one for one in known if (one.person, one.peer) != (person, peer)]
    write_consents(path, kept)
    typer.echo(f"{len(known) - len(kept)} consents ended")


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
