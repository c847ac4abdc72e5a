"""``fedcredit score-with-peer``: a table's scores, with one consented number per person from another institution."""

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.score import (
    CutOffOption,
    DecisionsOption,
    KeyOption,
    MappingOption,
    OutOption,
    PackageArgument,
    RegistryOption,
    ViewOption,
    decision_log,
    permission,
    score_and_say,
)
from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key
from fedcredit.package.storage import load_package
from fedcredit.scoring.batch import Joined, Wanted
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_messages import TOKEN_BYTES, Outcome
from fedcredit.scoring.card import card_of
from fedcredit.scoring.joint import NO_JOINT_VIEW, JointScorer
from fedcredit.scoring.peer_client import Asking, Numbers, PeerClient
from fedcredit.scoring.peers_file import load_peers
from fedcredit.wire.envelope import SigningKey


def score_with_peer(  # noqa: PLR0913  (a command's options)
    package: PackageArgument,
    table: Annotated[str, typer.Argument(metavar="DATA", help="A table with an id column.", show_default=False)],
    *,
    out: OutOption,
    peers: Annotated[Path, typer.Option(help="PEERS.yaml.")],
    peer: Annotated[str, typer.Option(help="Whom to ask, as PEERS.yaml names it.")],
    block: Annotated[str, typer.Option(help="Block to ask for.")],
    purpose: Annotated[str, typer.Option(help="What the number is for, as agreed with the peer.")],
    tokens: Annotated[Path, typer.Option(help="CSV file with columns id and token: who has consented.")],
    view: ViewOption = None,
    mapping: MappingOption = None,
    cut_off: CutOffOption = None,
    decisions: DecisionsOption = None,
    key: KeyOption = None,
    registry: RegistryOption = None,
) -> None:
    """Score a table as 'score' does, and ask a peer for the number of each person whose consent token is given."""
    loaded = load_package(package)
    permitted = permission(registry, loaded)
    card = card_of(loaded, loaded.view(view))
    with ExitStack() as stack:
        log = decision_log(decisions, key, stack)
        if loaded.head.joint is None:
            client, numbers, joined = None, None, None
            typer.echo(NO_JOINT_VIEW)
        else:
            scorer, file = JointScorer(card, block), load_peers(peers)
            entry = file.peer(peer)
            limit = loaded.head.joint.limit
            asking = Asking(file.institution, peer, block, bytes.fromhex(loaded.digest), purpose, limit)
            book = stack.enter_context(BlockAudit(file.audit))
            known = load_tokens(tokens)
            identity, pair = SigningKey.load(file.identity_key), load_pair_key(entry.pair_key)
            client = stack.enter_context(PeerClient(asking, entry, identity, pair, book))
            numbers = Numbers(client, known)
            joined = Joined(scorer, numbers.of)
        score_and_say(card, table, mapping, out, Wanted(cut_off, *log, joined, permitted))
    if client is not None and numbers is not None:
        counts = {outcome.name.lower(): client.counts[outcome] for outcome in Outcome}
        typer.echo(f"{peer}: {', '.join(f'{count:,} {word}' for word, count in counts.items())}")
        if numbers.unasked:
            typer.echo(f"{peer} went away: {numbers.unasked:,} persons with a token were scored without it")


def load_tokens(path: Path) -> dict[bytes, bytes]:
    """Read consent tokens by the person's id.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a token is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["id"].strip().encode(): bytes.fromhex(row["token"]) for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ConfigError(f"tokens {path} cannot be read; give a CSV file with columns id and token (hex).") from None
    if any(len(token) != TOKEN_BYTES for token in found.values()):
        raise ConfigError(f"tokens {path}: a token has {2 * TOKEN_BYTES} hex digits; ask the person's institution.")
    return found
